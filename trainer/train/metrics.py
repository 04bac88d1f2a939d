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

from storage.commit import replace_atomic
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
    """A file of rows that each have a `step`, at most one a step, in order.

    Args:
      path: Made where it is missing.
      after: The step that the run goes on from; later rows, and what is no row or out of order, are taken out at once.

    Attributes:
      stood: Rows that stood and were kept.
    """

    def __init__(self, path: Path, after: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._path = path
        length, behind, self.stood = _good(path, after)
        if behind:
            replace_atomic(str(path), path.read_bytes()[:length] + b"".join(behind))
        self._file = path.open("ab", buffering=0)
        if not behind and length < path.stat().st_size:
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


def _good(path: Path, after: int) -> tuple[int, list[bytes], int]:
    """Bytes of the good rows up to the first other one, the good rows behind that, and how many rows these are."""
    length = size = stood = last = 0
    behind: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            if last < (step := _step(line)) <= after:
                stood, last = stood + 1, step
                if length == size:
                    length += len(line)
                else:
                    behind.append(line)
            size += len(line)
    return length, behind, stood


def _step(line: bytes) -> int:
    """Of a row, whole to its end; 0 of what is none."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return step if type(step) is int and line.endswith(b"\n") else 0
