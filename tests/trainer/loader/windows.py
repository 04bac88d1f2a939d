"""Plans made by hand: windows of random rows over small segments, and what a rank must get of them, slowly."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tests.trainer.sealed import write
from trainer.batch import Batch, Step
from trainer.plan.window import ROWS, STEPS, Window, WindowCounts
from trainer.segments.library import Library
from trainer.segments.read import Segments

COUNTS = WindowCounts(
    documents=0, split=0, targetless=0, positions=0, padding=0, targets=0, dropped=0, sources={}
)  # nothing that a loader reads
Piece = tuple[int, int, int]
"""Segment, first token, tokens."""


@dataclass
class HandPlan:
    """Its windows are lists of steps, a step is a list of rows, a row a list of pieces."""

    windows: list[list[list[list[Piece]]]]
    seq_len: int
    asked: list[int] = field(default_factory=list)
    """Windows, in the order in which they were asked for."""
    fails: dict[int, Exception] = field(default_factory=dict)

    @property
    def total_targets(self) -> int:
        return sum(length - 1 for w in self.windows for s in w for row in s for _, _, length in row)

    def window(self, number: int) -> Window:
        self.asked.append(number)
        if number in self.fails:
            raise self.fails[number]
        steps = self.windows[number]
        rows = [row for step in steps for row in step]
        columns = [[[piece[i] for piece in row] for row in rows] for i in range(3)]
        starts = np.cumsum([0, *(len(step) for step in steps)])
        table = pa.table(
            {
                "row_start": starts[:-1],
                "n_rows": [len(step) for step in steps],
                "seq_len": [self.seq_len] * len(steps),
                "n_targets": [sum(length - 1 for row in step for _, _, length in row) for step in steps],
            }
        )
        return Window(
            number=number,
            hash=f"hash of {number}",
            parent=f"hash of {number - 1}",
            rows=pa.table([pa.array(values, kind.type) for values, kind in zip(columns, ROWS, strict=True)], ROWS),
            steps=table.cast(STEPS),
            last=number == len(self.windows) - 1,
            counts=COUNTS,
            cursors={},
        )


def library(folder: Path, *, segments: int = 3, tokens: int = 400, dtype: Any = np.uint16) -> Library:
    """A text folder, and a chat folder with masks, of that many segments each."""
    rng = np.random.default_rng(0)
    folders = []
    for name in ("text", "chat"):
        made = [[rng.integers(1, 60_000, tokens)] for _ in range(segments)]
        masks = [[rng.integers(0, 2, tokens)] for _ in range(segments)] if name == "chat" else None
        path = write(folder / name, made, masks=masks, dtype=dtype, kind="chat" if masks else "text")
        folders.append(Segments.open(str(path)))
    return Library(folders)


def plan(*, windows: int = 3, steps: int = 4, rows: int = 11, seq_len: int = 40, seed: int = 1) -> HandPlan:
    """Random rows; steps of a window differ by one row at most, as a plan's do."""
    rng = np.random.default_rng(seed)

    def row() -> list[Piece]:
        pieces: list[Piece] = []
        left = seq_len
        while left > 0 and (not pieces or rng.random() < 0.8):
            length = int(rng.integers(1, left + 1)) + 1
            pieces.append((int(rng.integers(0, 6)), int(rng.integers(0, 400 - length)), length))
            left -= length - 1
        return pieces

    return HandPlan([[[row() for _ in range(rows - (s % 2))] for s in range(steps)] for _ in range(windows)], seq_len)


def expected(plan: HandPlan, made: Library, row: list[Piece] | None) -> tuple[list[Any], ...]:
    """A row's tokens, targets, weights, documents, positions, one position at a time; None: a row that only fills."""
    found: tuple[list[Any], ...] = ([], [], [], [], [])
    for number, (segment, start, length) in enumerate(row or []):
        for n in range(length - 1):
            token, target = made.read(segment, "tokens", start + n, start + n + 2).tolist()
            masked_in = (
                int(made.read(segment, "mask", start + n + 1, start + n + 2)[0]) if made.has_mask(segment) else 1
            )
            for values, value in zip(found, (token, target * masked_in, float(masked_in), number, n), strict=True):
                values.append(value)
    for values, empty in zip(found, (0, 0, 0.0, -1, 0), strict=True):
        values += [empty] * (plan.seq_len - len(values))
    return found


def fields(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Of a batch."""
    return batch.tokens, batch.targets, batch.weights, batch.documents, batch.positions


def rows_of(step: Step) -> Iterator[tuple[list[Any], ...]]:
    """The rows of a step's batches, as `expected` gives them."""
    for batch in step.batches:
        for row in zip(*fields(batch), strict=True):
            yield tuple(values.tolist() for values in row)
