"""Ctrl-C and SIGTERM end training after the step under way, with a checkpoint."""

import signal
import time
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_S = 3.0
"""Signals so soon after the first are the same request: torchrun passes on to its ranks what the terminal sent them."""


class Stop:
    """Takes the signals while the context lasts; a later second one does what it did before.

    To be used in the main thread, as Python's signals are.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal has come."""
        self._since = 0.0
        self._before: dict[signal.Signals, object] = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
        elif time.monotonic() - self._since > _SAME_S:
            self._give_back()
            signal.raise_signal(number)

    def _give_back(self) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)  # type: ignore[arg-type]
        self._before = {}

    def __enter__(self) -> Self:
        self._before = {one: signal.signal(one, self._take) for one in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
