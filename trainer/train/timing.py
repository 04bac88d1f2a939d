"""What a run costs: tokens a second, MFU, waiting for data; a row every some steps in timing.jsonl.

The control ratio says what feeding costs, 1 - (tokens/s as trained) / (tokens/s of batches that lie ready): both are of
the same steps, the second without the time that they were waited for.
"""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainer.train.metrics import JsonLines
from trainer.train.ranks import Ranks

EVERY = 16
"""Steps a row."""
_WAITS = 1_000
"""Steps over which the 99th percentile and the longest wait are taken, the newest of the stage."""

Item = TypeVar("Item")


_KNOWN, _NUMBER = int | float, int | float | None
TIMING_ROW = {
    "step": int,
    "steps": int,
    "seconds": _KNOWN,
    "tokens_per_second": _KNOWN,
    "mfu": _NUMBER,
    "data_fill": _NUMBER,
    "data_wait_p99": _NUMBER,
    "data_wait_max": _NUMBER,
    "queue_depth": _NUMBER,
    "control_ratio": _NUMBER,
}
"""Fields of a row of timing.jsonl."""


@dataclass(slots=True)
class Clock:
    """Measures steps on this rank, and writes a row about all ranks every 16 steps.

    Times are those of the host; a step ends when its loss has come from the device, so that they are the device's too.
    What passes until a stage's first step is there (the fill) is no step's time: it stands in its row by itself.
    """

    ranks: Ranks
    lines: JsonLines | None
    """timing.jsonl, on the first rank."""
    flops_per_token: Callable[[int], float] | None = None
    """Of a sequence length: forward and backward, 6 N + 12 L d T."""
    peak_flops: float | None = None
    """Of one device, a second."""
    queue_depth: Callable[[], int] | None = None
    """Steps that lie ready, where the loader knows."""
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=_WAITS))
    """Seconds by step of the stage, but the first one's: until that is there, the loader fills."""
    _steps: int = 0
    _tokens: int = 0
    _flops: float = 0.0
    _waited: float = 0.0
    _fill: float | None = None
    _began: float = field(default_factory=time.perf_counter)
    last: dict[str, Any] = field(default_factory=dict)
    """The newest row, for progress."""

    def waited(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, a stage's steps; notes how long each was waited for."""
        self.waits.clear()
        iterator = iter(items)
        for number in itertools.count():
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            seconds = time.perf_counter() - began
            if number == 0:
                self._fill = seconds
            else:
                self.waits.append(seconds)
                self._waited += seconds
            yield item

    def restart(self) -> None:
        """What was done since the last row was no training (evaluation between stages): it does not count."""
        self._began = time.perf_counter()
        self._steps, self._tokens, self._flops, self._waited, self._fill = 0, 0, 0.0, 0.0, None

    def stepped(self, step: int, seq_len: int, tokens: int) -> None:
        """Counts a step.

        Args:
          step: Of the run.
          seq_len: Of its rows.
          tokens: Input positions of all ranks that hold a token; padding is no work done.
        """
        self._steps += 1
        self._tokens += tokens
        self._flops += tokens * self.flops_per_token(seq_len) if self.flops_per_token else math.nan
        if self._steps == EVERY:
            self.write(step)

    def write(self, step: int) -> None:
        """Writes a row about the steps since the last one, if there are any. All ranks call it at the same step."""
        if not self._steps:
            return
        taken, own_fill = time.perf_counter() - self._began, self._fill or 0.0
        ordered = sorted(self.waits) or [math.nan]  # of no step but the stage's first
        p99, largest, waited, fill, least = self.ranks.max(
            [ordered[math.ceil(0.99 * len(ordered)) - 1], ordered[-1], self._waited, own_fill, own_fill - taken]
        )
        seconds = -least  # who has its first step sooner waits in it for the others
        peak = self.peak_flops * self.ranks.world * seconds if self.peak_flops else math.nan
        self.last = {
            "step": step,
            "steps": self._steps,
            "seconds": seconds,
            "tokens_per_second": self._tokens / seconds,
            "mfu": _known(self._flops / peak),
            "data_fill": None if self._fill is None else fill,
            "data_wait_p99": _known(p99),
            "data_wait_max": _known(largest),
            "queue_depth": self.queue_depth() if self.queue_depth else None,
            "control_ratio": min(waited / seconds, 1.0) if self.waits else None,
        }
        if self.lines:
            self.lines.add(self.last)
        self.restart()


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
