"""What the loop gets from a source of batches: rows of one length, by global step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one rank that go through the model at once; every tensor is [rows, seq_len].

    Position s predicts `targets[:, s]` from `tokens[:, : s + 1]` of the same document.
    """

    tokens: Tensor
    """int64 ids; 0 at padding."""
    targets: Tensor
    """int64 ids; 0 where the weight is 0."""
    weights: Tensor
    """float32: 1 where the target counts, 0 at padding, masked tokens and rows that only fill a short rank."""
    documents: Tensor
    """int32: which piece of its row a position belongs to, 0, 1, …; -1 at padding. Attention never crosses."""
    positions: Tensor
    """int64: from 0 on in every piece; 0 at padding."""
    pieces: int
    """No row holds more; told here, since a GPU would have to be waited for to ask it."""

    def to(self, device: Any) -> "Batch":
        """The same on a device, copied while the host goes on where the memory is pinned."""

        def sent(field: Tensor) -> Tensor:
            return field.to(device, non_blocking=True)

        return Batch(
            sent(self.tokens),
            sent(self.targets),
            sent(self.weights),
            sent(self.documents),
            sent(self.positions),
            self.pieces,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step, this rank's part of it."""

    index: int
    """Within the stage, from 0."""
    seq_len: int
    rows: int
    """Of all ranks."""
    targets: int
    """Weighted targets of all ranks: what the sum of losses is divided by is counted anew, this is what was planned."""
    batches: tuple[Batch, ...]
    """Micro-batches; every rank has equally many, of equal shape."""
    state: Mapping[str, Any]
    """JSON-able: given back to `Source.steps`, the stage goes on behind this step, on any number of ranks."""


class Source(Protocol):
    """A resumable source of batches: a compiled plan is one; later stages sample their own."""

    def steps(self, state: Mapping[str, Any] | None, rank: int, world: int, micro_batch_size: int) -> Iterator[Step]:
        """The stage's steps behind `state` (None: from the start), this rank's rows of each."""

    @property
    def total_targets(self) -> int:
        """Of the whole stage, as far as it is known: exact for a plan's `tokens`."""
