"""Live progress of training on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from service.progress import PLAIN_SECONDS, clock
from service.terminal import Terminal, plain

if TYPE_CHECKING:
    from trainer.segments.tokenize import Progress as Tokenized
    from trainer.train.metrics import Row  # torch is an extra

RECENT_SECONDS = 60.0
"""Over which speed and time left are taken: a ramp of lengths or batches changes them."""


class Watch:
    """Shows loss, tokens/s, waiting for data and time left; `trainer.train.start.Watcher`."""

    def __init__(self, console: Terminal | None = None) -> None:
        self._console = console or Terminal(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            console=self._console,
        )
        self._task = self._bar.add_task("preparing", total=1.0)
        self._live = (
            Live(self._bar, console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )
        self._seen: deque[tuple[float, int]] = deque()
        """When the last rows came, and the targets then."""
        self._last_line = 0.0
        self._stage = ""

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, words: str) -> None:
        """See `Watcher`."""
        self._console.print(Text(f"note: {plain(words)}", style="yellow"), soft_wrap=True)

    def tokenized(self, progress: "Tokenized") -> None:
        """See `Watcher`."""
        words = f"{progress.units:,} of {progress.of:,} files, {progress.tokens:,} tokens"
        self._show("tokenizing", progress.units / max(progress.of, 1), words)

    def row(self, row: "Row", timing: Mapping[str, Any], total: int) -> None:
        """See `Watcher`."""
        now = time.monotonic()
        if self._seen and row.tokens < self._seen[-1][1]:  # another run: an ablation's next
            self._seen.clear()
        self._seen.append((now, row.tokens))
        while now - self._seen[0][0] > RECENT_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        began, tokens = self._seen[0]
        parts = [f"step {row.step:,}", f"loss {row.loss:.4f}" if row.loss is not None else "loss –"]
        parts.append(f"{row.tokens:,} of {total:,} targets")
        if now > began and row.tokens > tokens:
            rate = (row.tokens - tokens) / (now - began)
            parts.append(f"{rate:,.0f} targets/s")
            parts.append(f"{clock(max(total - row.tokens, 0) / rate)} left")
        if timing.get("mfu") is not None:
            parts.append(f"MFU {timing['mfu']:.1%}")
        if timing.get("data_wait_p99") is not None:
            parts.append(f"data wait p99 {1000 * timing['data_wait_p99']:.1f} ms")
        self._show(row.stage, min(row.tokens / max(total, 1), 1.0), " · ".join(parts))

    def _show(self, what: str, share: float, line: str) -> None:
        """Live from the first time on, so that a rank that is told nothing draws nothing; without a terminal, lines."""
        if self._live:
            self._bar.update(self._task, description=what, completed=share)
            self._live.update(Group(self._bar, Text("  " + line, style="dim")))
            self._live.start()
            return
        now = time.monotonic()
        if what != self._stage or now - self._last_line > PLAIN_SECONDS:
            self._last_line, self._stage = now, what
            self._console.print(f"{what}: {line}", soft_wrap=True)
