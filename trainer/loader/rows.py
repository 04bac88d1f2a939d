"""A window's rows as flat arrays, and the pieces of those rows that one rank reads for one step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.errors import IntegrityError

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Pieces of some rows, sorted by segment; arrays [pieces]."""

    segment: Ints
    """The library's numbers, rising."""
    start: Ints
    """The first token in the segment."""
    length: Ints
    """Tokens: one more than positions."""
    row: Ints
    """Which of the rows asked for."""
    column: Ints
    """The first position in the row."""
    document: Ints
    """The piece's number in its row."""
    used: Ints
    """[rows] Positions taken of each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A window's rows: row r is pieces [offsets[r], offsets[r + 1])."""

    offsets: Ints
    segment: NDArray[np.int32]
    start: Ints
    length: NDArray[np.int32]

    @classmethod
    def of(cls, table: pa.Table) -> "Rows":
        """From a table of `segment: list<int32>`, `start: list<int64>`, `length: list<int32>`."""
        lists = [table[name].combine_chunks() for name in ("segment", "start", "length")]
        segment, start, length = (_flat(values) for values in lists)
        offsets = np.concatenate(([0], np.cumsum(_lengths(lists[0])))).astype(np.int64)
        return cls(offsets=offsets, segment=segment, start=start, length=length)

    def pieces(self, rows: Ints, seq_len: int) -> Pieces:
        """The pieces of some rows.

        Raises:
            IntegrityError: They do not fit into `seq_len` positions, which no plan of ours says.
        """
        firsts, counts = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        before = np.cumsum(counts) - counts  # pieces of the rows before
        index = np.arange(counts.sum()) + np.repeat(firsts - before, counts)
        length = self.length[index].astype(np.int64)
        ends = np.concatenate(([0], np.cumsum(length - 1)))
        used = ends[before + counts] - ends[before]
        if len(rows) and (used.max() > seq_len or length.min(initial=2) < 2):
            worst = int(rows[used.argmax()])
            raise IntegrityError(
                f"row {worst:,} of the plan's window takes {used.max():,} positions of {seq_len:,}, or has a piece "
                "without a target; remove the plan's folder and run again"
            )
        segment = self.segment[index].astype(np.int64)
        order = np.argsort(segment, kind="stable")
        document = np.arange(len(index)) - np.repeat(before, counts)
        column = ends[:-1] - np.repeat(ends[before], counts)
        row = np.repeat(np.arange(len(rows)), counts)
        start = self.start[index]
        parts = {"start": start, "length": length, "row": row, "column": column, "document": document}
        return Pieces(segment=segment[order], used=used, **{name: part[order] for name, part in parts.items()})


def _flat(values: Any) -> NDArray[Any]:
    array: NDArray[Any] = values.flatten().to_numpy()
    return array


def _lengths(values: Any) -> NDArray[Any]:
    array: NDArray[Any] = values.value_lengths().to_numpy()
    return array
