"""Rows of tokens to the arrays of a batch, straight from the checked segments."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.batch import Batch
from trainer.compiled import kernel
from trainer.loader.rows import Ints, Pieces, Rows
from trainer.segments.library import Library

BYTES_PER_POSITION = 8 + 8 + 4 + 4 + 8
"""Of a batch's five arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One rank's part of one step."""

    row_start: int
    """The step's first row in the window."""
    n_rows: int
    """Of the step, all ranks."""
    seq_len: int
    rank: int
    world: int
    micro_batch_size: int
    """Of a batch: whole groups, so a multiple of `together`."""
    together: int = 1
    """Rows of a group that stays on one rank and in one batch; a step has whole ones."""

    @property
    def rows(self) -> Ints:
        """The window's rows that are this rank's: groups are dealt in turn."""
        step = np.arange(self.row_start, self.row_start + self.n_rows).reshape(-1, self.together)
        return step[self.rank :: self.world].ravel()

    @property
    def micro_batches(self) -> int:
        """As many on every rank."""
        groups = -(-self.n_rows // (self.world * self.together))
        return -(-groups * self.together // self.micro_batch_size)

    @property
    def bytes(self) -> int:
        """Of its batches."""
        return self.micro_batches * self.micro_batch_size * self.seq_len * BYTES_PER_POSITION


def assemble(rows: Rows, library: Library, share: Share, *, pin: bool = False) -> tuple[Batch, ...]:
    """Reads a share's rows into micro-batches of equal shape; rows that no document fills have weight 0.

    Args:
        rows: The window's.
        library: Numbers segments as the rows do.
        share: Whose, and of which step.
        pin: Makes memory that a GPU copies from while the host goes on.

    Raises:
        IntegrityError: A block of a segment, or a row, is not what it must be.
        StorageError: A segment can't be read.
    """
    mine = share.rows
    pieces = rows.pieces(mine, share.seq_len)
    shape = share.micro_batches * share.micro_batch_size, share.seq_len
    fields = [torch.empty(shape, dtype=dtype, pin_memory=pin) for dtype in _DTYPES]
    arrays = [field.numpy() for field in fields]
    used = np.zeros(shape[0], np.int64)
    used[: len(mine)] = pieces.used
    _pad(used, *arrays)
    cuts = np.flatnonzero(np.diff(pieces.segment)) + 1
    for first, last in pairwise([0, *cuts.tolist(), len(pieces.segment)]):
        if first < last:
            _read(library, pieces, slice(first, last), arrays)
    most = int(pieces.document.max(initial=-1)) + 1
    micro_batches = zip(*(torch.split(field, share.micro_batch_size) for field in fields), strict=True)
    return tuple(
        Batch(tokens, targets, weights, documents, positions, most)
        for tokens, targets, weights, documents, positions in micro_batches
    )


_DTYPES = (torch.int64, torch.int64, torch.float32, torch.int32, torch.int64)
"""Of a batch's tensors."""


def _read(library: Library, pieces: Pieces, part: slice, arrays: list[NDArray[Any]]) -> None:
    """The pieces of one segment."""
    segments, i = library.place(int(pieces.segment[part.start]))
    starts, lengths = pieces.start[part], pieces.length[part]
    row, column = pieces.row[part], pieces.column[part]
    flat, at = segments.gather(i, "tokens", starts, starts + lengths)
    _fill(flat, at, lengths, row, column, pieces.document[part], *arrays)
    if segments.has_mask(i):
        flat, at = segments.gather(i, "mask", starts, starts + lengths)
        _mask(flat, at, lengths, row, column, arrays[1], arrays[2])


@kernel
def _fill(
    flat: NDArray[Any],
    at: Ints,
    lengths: Ints,
    rows: Ints,
    columns: Ints,
    numbers: Ints,
    tokens: NDArray[np.int64],
    targets: NDArray[np.int64],
    weights: NDArray[np.float32],
    documents: NDArray[np.int32],
    positions: NDArray[np.int64],
) -> None:
    """Copies pieces flat[at : at + length] to their rows.

    A loop an array, over slices: indices that can't be negative let each run as vector instructions, six times as fast.
    """
    for piece in range(len(at)):
        row, number, size = rows[piece], numbers[piece], lengths[piece] - 1
        source, span = flat[at[piece] : at[piece] + size + 1], slice(columns[piece], columns[piece] + size)
        to_tokens, to_targets, to_weights = tokens[row, span], targets[row, span], weights[row, span]
        to_documents, to_positions = documents[row, span], positions[row, span]
        for n in range(size):
            to_tokens[n] = source[n]
        for n in range(size):
            to_targets[n] = source[n + 1]
        for n in range(size):
            to_weights[n] = 1
        for n in range(size):
            to_documents[n] = number
        for n in range(size):
            to_positions[n] = n


@kernel
def _mask(
    mask: NDArray[np.uint8],
    at: Ints,
    lengths: Ints,
    rows: Ints,
    columns: Ints,
    targets: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> None:
    """Takes targets out whose mask is 0."""
    for piece in range(len(at)):
        row, size = rows[piece], lengths[piece] - 1
        source, span = mask[at[piece] + 1 : at[piece] + size + 1], slice(columns[piece], columns[piece] + size)
        to_targets, to_weights = targets[row, span], weights[row, span]
        for n in range(size):
            to_targets[n] *= source[n]
        for n in range(size):
            to_weights[n] = source[n]


@kernel
def _pad(
    used: Ints,
    tokens: NDArray[np.int64],
    targets: NDArray[np.int64],
    weights: NDArray[np.float32],
    documents: NDArray[np.int32],
    positions: NDArray[np.int64],
) -> None:
    """Fills each row behind what is used of it."""
    for row in range(len(used)):
        tokens[row, used[row] :] = 0
        targets[row, used[row] :] = 0
        weights[row, used[row] :] = 0
        documents[row, used[row] :] = -1
        positions[row, used[row] :] = 0
