"""Rows about steps as JSON lines, cut back to the checkpoint that a run goes on from.

`metrics.jsonl` says what was computed: a row a step, the same however often the run was killed. What depends on the
machine stands in `timing.jsonl` (`trainer.train.timing`).
"""

import bisect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storage.commit import replace_atomic
from storage.errors import NO_SPACE, full_disk

METRICS, TIMING = "metrics.jsonl", "timing.jsonl"
Form = Mapping[str, Any]
"""Fields of a row -> the types of their values."""


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


ROW: Form = {
    "step": int,
    "stage": str,
    "tokens": int,
    "seq_len": int,
    "lr": int | float,
    "loss": int | float | None,
    "started": int,
}


class JsonLines:
    """A file of rows that each have a `step`, at most one a step, in order.

    Args:
      path: Made where it is missing.
      after: The step that the run goes on from; later rows, and what is no row or out of order, are taken out at once.
      form: What a row must hold; None: a step.

    Attributes:
      stood: Rows that stood and were kept.
    """

    def __init__(self, path: Path, after: int, form: Form | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._path = path
        length, behind, self.stood = _good(path, after, form)
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


def _good(path: Path, after: int, form: Form | None) -> tuple[int, list[bytes], int]:
    """Bytes of the good rows up to the first other one, the good rows behind that, and how many rows these are."""
    with path.open("rb") as file:
        steps = [_step(line, form) for line in file]
    kept = _rising([step if step <= after else 0 for step in steps])
    length = size = 0
    behind: list[bytes] = []
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number in kept:
                if length == size:
                    length += len(line)
                else:
                    behind.append(line)
            size += len(line)
    return length, behind, len(kept)


def _rising(steps: Sequence[int]) -> set[int]:
    """Places of the most steps that rise, those of 0 left out: one row that is damaged takes no other with it."""
    tails: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, step in enumerate(steps):
        length = bisect.bisect_left(tails, step) if step else -1
        before.append(places[length - 1] if length > 0 else -1)
        if length >= 0:
            tails[length:], places[length:] = [step, *tails[length + 1 :]], [place, *places[length + 1 :]]
    kept, place = set[int](), places[-1] if places else -1
    while place >= 0:
        kept.add(place)
        place = before[place]
    return kept


def _step(line: bytes, form: Form | None) -> int:
    """Of a row, whole to its end; 0 of what is none."""
    try:
        row = json.loads(line)
        step = row["step"]
        good = form is None or (row.keys() == form.keys() and all(isinstance(row[key], form[key]) for key in form))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
    return step if good and type(step) is int and step > 0 and line.endswith(b"\n") else 0
