"""What the child says of a page, and who is sampled: all that the parent has to know of judging.

The parent reads records and writes files; it never imports a stage, nor what stages need, and stays small.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from schemas.records import Document

READ_STAGE = "read"
"""The stage that a ledger row names where the page could not be read, whatever the recipe."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a page: the document that goes on, or why it does not."""

    doc: Document | None
    """None where there is no text to speak of (a fault before or in `extract`)."""
    stage: str = ""
    """Where it was dropped; empty where it goes on."""
    reason: str = ""
    value: float = 0.0
    threshold: float = 0.0
    sampled: bool = False
    characters: int = 0
    """Of a dropped page's text."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """`stage.reason` -> measured value, of every rule that was asked."""
    dropped_text: str | None = None
    """The text where this dropped page may belong to the kept sample of dropped ones, after the PII edit."""
    gate: str = ""
    """The gate that cut it short, empty where none did."""

    @property
    def kept(self) -> bool:
        """Whether it goes on."""
        return not self.stage


@dataclass(frozen=True, slots=True)
class NewTask:
    """Sent before a task's first page: which dropped texts it keeps may not hang on the tasks before it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the child has to know of a recipe's `sample`: who is sampled, and which dropped texts are kept."""

    rate: float
    dropped_per_reason: int
    """Texts kept of each reason."""
    all_texts: bool
    """All are kept, however many."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a child builds its function from, opened there only."""

    data: bytes

    @classmethod
    def of(cls, build: Callable[[], Callable[[Any], Any]]) -> "Sealed":
        """Seals a picklable builder."""
        return cls(pickle.dumps(build))

    def __call__(self) -> Any:
        """Opens it and builds the function."""
        return pickle.loads(self.data)()  # noqa: S301  the driver sealed it


def sample_hash(seed: int, document_id: str) -> int:
    """Uniform 64-bit number of (seed, id): who is sampled depends on nothing else."""
    return xxhash.xxh3_64_intdigest(document_id.encode("utf-8", "surrogatepass"), seed=seed & (2**64 - 1))


def is_sampled(rate: float, seed: int, document_id: str) -> bool:
    """Whether a page belongs to the seeded sample, which takes the full path."""
    return sample_hash(seed, document_id) < rate * 2**64
