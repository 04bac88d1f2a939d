"""Within which documents a stage looks for duplicates: those of one snapshot, of one language, or all."""

from collections.abc import Callable
from typing import Literal

from schemas.records import Document

Scope = Literal["dump", "language"]
"""A name of `SCOPES`."""

SCOPES: dict[Scope, Callable[[Document], tuple[str, ...]]] = {
    "dump": lambda doc: (doc.dump,),
    # FineWeb-2 deduplicates a language in each of its scripts on its own
    "language": lambda doc: (doc.language, doc.language_script),
}
"""Scope name -> the values of a document that its keys carry: documents that differ in one never share a key."""


def prefix(doc: Document, scope: tuple[Scope, ...]) -> bytes:
    """The bytes that a document's keys begin with: each value's length (4 bytes, little endian) and its UTF-8."""
    values = [value.encode("utf-8", "surrogatepass") for name in scope for value in SCOPES[name](doc)]
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)
