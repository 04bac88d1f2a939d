"""Rows about steps as JSON lines, cut back to the checkpoint that a run goes on from.

`metrics.jsonl` says what was computed: a row a step, the same however often the run was killed. What depends on the
machine stands in `timing.jsonl` (`trainer.train.timing`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storage.errors import NO_SPACE, full_disk

METRICS, TIMING = "metrics.jsonl", "timing.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of metrics.jsonl."""

    step: int
    """Of the whole run, from 1."""
    stage: str
    tokens: int
    """Targets so far, of all stages."""
    seq_len: int
    lr: float
    loss: float | None
    """The step's mean over all ranks before it moved the weights; None where it is not finite."""
    started: int
    """The step at which the process that wrote the row took over; 1 for one that began the run."""


class JsonLines:
    """A file of rows that each have a `step`, of which there may be at most one or few a step, in order.

    Args:
      path: Made where it is missing.
      after: The step that the run goes on from; later rows, and half a row at the end, are cut off at once.

    Attributes:
      last: The step of the last row that stood and was kept; 0 where there was none.
    """

    def __init__(self, path: Path, after: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab", buffering=0)
        length, self.last = _whole(path, after)
        if length < path.stat().st_size:
            self._file.truncate(length)  # killed before or after it, never in between
            os.fsync(self._file.fileno())

    def add(self, row: Mapping[str, Any]) -> None:
        """Writes a row through to the system.

        Raises:
          StorageError: No room. Half a row may stand; the next start cuts it off.
        """
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
        except OSError as error:
            if error.errno in NO_SPACE:
                raise full_disk(error, str(self._path), 0) from error
            raise

    def sync(self) -> None:
        """Makes the rows so far outlast a power cut, as a checkpoint behind them will."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _whole(path: Path, after: int) -> tuple[int, int]:
    """Bytes of the rows up to step `after`, up to the first that is none; and the last one's step, 0 without rows."""
    length = last = 0
    with path.open("rb") as file:
        for line in file:
            try:
                step = json.loads(line)["step"]
            except (ValueError, KeyError, TypeError):
                break
            if step > after or not line.endswith(b"\n"):
                break
            length, last = length + len(line), step
    return length, last
