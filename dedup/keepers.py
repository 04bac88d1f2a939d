"""Which member of a duplicate cluster stays: a policy's name -> a document's priority. The highest stays.

Ties, and documents a policy knows nothing of, are settled by (path, offset): the first stays.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from schemas.records import Document

Keep = Literal["first", "longest", "best_quality", "oldest"]
"""A name of `KEEPERS`."""

UNKNOWN = -(2**63)
"""The lowest priority: what a policy needs is missing from the document."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first(doc: Document) -> int:  # noqa: ARG001
    """All are equal, so the first in (path, offset) order stays."""
    return 0


def longest(doc: Document) -> int:
    """Characters of the text."""
    return len(doc.text)


def best_quality(doc: Document) -> int:
    """The quality score, mapped to integers in the same order; documents without one (or with NaN) come last."""
    score = doc.quality_score
    if score is None or score != score:
        return UNKNOWN
    # A double's bits, read as an integer, are ordered as the doubles are; negative ones the other way round.
    # Adding 0.0 makes -0.0 equal to 0.0.
    bits: int = struct.unpack("<q", struct.pack("<d", score + 0.0))[0]
    return bits if bits >= 0 else -(bits + 2**63)


def oldest(doc: Document) -> int:
    """The earliest `date` (ISO 8601, UTC where it names no zone); documents whose date can't be read come last."""
    try:
        when = datetime.fromisoformat(doc.date)
    except ValueError:
        return UNKNOWN
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return -((when - _EPOCH) // timedelta(microseconds=1))


KEEPERS: dict[Keep, Callable[[Document], int]] = {
    "first": first,
    "longest": longest,
    "best_quality": best_quality,
    "oldest": oldest,
}
