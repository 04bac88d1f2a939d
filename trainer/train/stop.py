"""Ctrl-C and SIGTERM end training after the step under way, with a checkpoint."""

import signal
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Takes the signals while the context lasts; the second one does what it did before.

    To be used in the main thread, as Python's signals are.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal has come."""
        self._before: dict[signal.Signals, object] = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._give_back()

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
