"""What a run costs: tokens a second, MFU, waiting for data; a row every some steps in timing.jsonl.

The control ratio says what feeding costs: 1 - (tokens/s as trained) / (tokens/s of one batch that lies on the device).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from trainer.train.metrics import JsonLines
from trainer.train.ranks import Ranks

EVERY = 16
"""Steps a row."""
_WAITS = 1_000
"""Steps over which the 99th percentile of waiting is taken."""

Item = TypeVar("Item")


@dataclass(slots=True)
class Clock:
    """Measures steps on this rank, and writes a row about all ranks every 16 steps.

    Times are those of the host; a step ends when its loss has come from the device, so that they are the device's too.
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
    control_tokens: dict[int, int] = field(default_factory=dict)
    """Tokens of the batch that was timed on the device, by sequence length."""
    control_seconds: dict[int, float] = field(default_factory=dict)
    """What a step of it took."""
    _steps: int = 0
    _tokens: int = 0
    _flops: float = 0.0
    _control: float = 0.0
    _wait_max: float = 0.0
    _began: float = field(default_factory=time.perf_counter)
    last: dict[str, Any] = field(default_factory=dict)
    """The newest row, for progress."""

    def waited(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; notes how long each was waited for."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.waits.append(time.perf_counter() - began)
            self._wait_max = max(self._wait_max, self.waits[-1])
            yield item

    def _now(self) -> float:
        """Seconds; what the device still has to do is done first."""
        if self.ranks.device.type == "cuda":
            torch.cuda.synchronize(self.ranks.device)
        return time.perf_counter()

    def restart(self) -> None:
        """What was done since the last row was no training (evaluation between stages): it does not count."""
        self._began = time.perf_counter()
        self._steps, self._tokens, self._flops, self._control, self._wait_max = 0, 0, 0.0, 0.0, 0.0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """What is done inside is no training: its time does not count."""
        began = self._now()
        yield
        self._began += self._now() - began

    @contextmanager
    def control_of(self, seq_len: int) -> Iterator[None]:
        """Inside, a gradient is made from what lies on the device."""
        began = self._now()
        yield
        self.control_seconds[seq_len] = self._now() - began

    @contextmanager
    def applying(self, seq_len: int, control: bool) -> Iterator[None]:
        """Inside, the gradient moves the weights: this too is part of what a step of a cached batch would take."""
        began = self._now() if control else 0.0
        yield
        if control:
            self.control_seconds[seq_len] += self._now() - began

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
        if seq_len in self.control_tokens:
            self._control += tokens * self.control_seconds[seq_len] / max(self.control_tokens[seq_len], 1)
        else:
            self._control = math.nan
        if self._steps == EVERY:
            self.write(step)

    def write(self, step: int) -> None:
        """Writes a row about the steps since the last one, if there are any. All ranks call it at the same step."""
        if not self._steps:
            return
        seconds = time.perf_counter() - self._began
        ordered = sorted(self.waits)
        p99, largest = self.ranks.max([ordered[math.ceil(0.99 * len(ordered)) - 1], self._wait_max])
        peak = self.peak_flops * self.ranks.world * seconds if self.peak_flops else math.nan
        self.last = {
            "step": step,
            "steps": self._steps,
            "seconds": seconds,
            "tokens_per_second": self._tokens / seconds,
            "mfu": _known(self._flops / peak),
            "data_wait_p99": p99,
            "data_wait_max": largest,
            "queue_depth": self.queue_depth() if self.queue_depth else None,
            "control_ratio": _known(1 - self._control / seconds),
        }
        if self.lines:
            self.lines.add(self.last)
        self.restart()


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
