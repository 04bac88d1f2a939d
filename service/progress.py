"""Live progress on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from curation.progress import Beat
from service.terminal import Terminal, plain, whole

WORDS = {
    "sift": "reading and judging pages",
    "sign": "signing documents",
    "match": "matching signatures",
    "cluster": "joining duplicates",
    "publish": "writing shards, ledger and report",
}
PLAIN_SECONDS = 10.0
"""Between lines where there is no terminal."""
TOP_LOSSES = 5


class Face:
    """Shows pages a second, kept share, time left and the largest losses; `curation.progress.Progress`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Terminal(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            console=self._console,
        )
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True) if self._console.is_terminal else None
        )
        self._started = time.monotonic()
        self._share_at_start: float | None = None
        self._pages_at_start = 0
        self._last_line = 0.0
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> "Face":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin(self, phase: str, jobs: int, done: int) -> None:
        self._started = time.monotonic()
        self._share_at_start = None
        self._bar.update(self._task, description=WORDS.get(phase, phase), completed=done / max(jobs, 1))
        if done and done < jobs:
            self.note(f"{WORDS.get(phase, phase)}: {done} of {jobs} tasks are done already")

    def beat(self, beat: Beat) -> None:
        seconds = time.monotonic() - self._started
        if self._share_at_start is None:
            self._share_at_start, self._pages_at_start = beat.share, beat.pages
        line = self._line(beat, seconds)
        if self._live:
            self._bar.update(self._task, completed=beat.share)
            self._live.update(Group(self._bar, line, losses(beat.dropped or {})))
        elif time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{WORDS.get(beat.phase, beat.phase)}: {line.plain.strip()}", soft_wrap=True)

    def note(self, words: str) -> None:
        self._console.print(Text(f"note: {plain(words)}", style="yellow"), soft_wrap=True)

    def _line(self, beat: Beat, seconds: float) -> Text:
        parts = [f"{beat.done}/{beat.jobs} tasks"]
        if beat.pages:
            parts.append(f"{beat.pages:,} pages")
            parts.append(f"{(beat.pages - self._pages_at_start) / max(seconds, 0.1):,.0f} pages/s")
            parts.append(f"{100 * beat.kept / beat.pages:.1f} % kept")
        gained = beat.share - (self._share_at_start or 0.0)
        if gained > 0 and beat.share < 1:
            parts.append(f"{clock(seconds * (1 - beat.share) / gained)} left")
        return Text("  " + " · ".join(parts), style="dim")


def losses(dropped: Mapping[str, int]) -> Table:
    """The largest losses by reason, with bars; what a narrow terminal cuts comes last."""
    table = Table.grid(padding=(0, 1))
    top = Counter(dropped).most_common(TOP_LOSSES)
    for name, n in top:
        bar = "▇" * max(1, round(24 * n / top[0][1]))
        table.add_row(Text(f"  {n:,}", justify="right"), Text(plain(name), style="dim"), Text(bar, style="red"))
    return whole(table, 0, 1)


def clock(seconds: float) -> str:
    """`3 s`, `4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
