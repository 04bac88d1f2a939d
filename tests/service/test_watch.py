"""What people see while a model trains."""

import io

import pytest
from rich.console import Console

from service.terminal import Terminal
from service.watch import Watch
from trainer.segments.tokenize import Progress
from trainer.train.metrics import Row


@pytest.fixture
def screen() -> tuple[Watch, io.StringIO]:
    """Without a terminal."""
    console = Terminal(stderr=True)
    console.file = out = io.StringIO()
    return Watch(console), out


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Sets the clock."""
    monkeypatch.setattr("service.watch.time.monotonic", lambda: 1000.0 + seconds)


def row(step: int, tokens: int, loss: float | None = 2.5, stage: str = "core") -> Row:
    return Row(step, stage, tokens, 16, 0.001, loss, 1)


def test_plain_lines_now_and_then(screen: tuple[Watch, io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    watch, out = screen
    with watch:
        at(monkeypatch, 0)
        watch.tokenized(Progress(0, 3, 0, 0))
        at(monkeypatch, 2)
        watch.tokenized(Progress(2, 3, 10, 5000))
        watch.row(row(1, 1000), {"mfu": None, "data_wait_p99": None}, 10_000)
        at(monkeypatch, 4)
        watch.row(row(2, 2000), {}, 10_000)
        at(monkeypatch, 22)
        watch.row(row(3, 6000, None), {"mfu": 0.5, "data_wait_p99": 0.0021}, 10_000)
        watch.row(row(4, 7000, stage="anneal"), {"mfu": None, "data_wait_p99": 0.1}, 10_000)
        watch.note("the gate \x1b[31mopens")
    assert out.getvalue().splitlines() == [
        "tokenizing: 0 of 3 files, 0 tokens",
        "core: step 1 · loss 2.5000 · 1,000 of 10,000 targets",
        "core: step 3 · loss – · 6,000 of 10,000 targets · 250 targets/s · 16 s left · MFU 50.0% · data wait "
        "p99 2.1 ms",
        "anneal: step 4 · loss 2.5000 · 7,000 of 10,000 targets · 300 targets/s · 10 s left · data wait p99 100.0 ms",
        "note: the gate \\x1b[31mopens",
    ]


def test_the_speed_is_that_of_the_last_minute_and_of_this_run(
    screen: tuple[Watch, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, out = screen
    with watch:
        for second, step, tokens in (
            *((0, 1, 0), (20, 2, 20_000), (40, 3, 40_000), (70, 4, 43_000), (101, 5, 46_100)),
            *((120, 1, 0), (135, 2, 7_500)),
        ):
            at(monkeypatch, second)
            watch.row(row(step, tokens), {}, 100_000)
    told = [line.split(" · ")[3:] for line in out.getvalue().splitlines()]
    assert told == [
        [], ["1,000 targets/s", "80 s left"], ["1,000 targets/s", "60 s left"], ["460 targets/s", "2 min left"],
        ["100 targets/s", "9 min left"], [], ["500 targets/s", "3 min left"],
    ]  # fmt: skip


def test_a_terminal_is_drawn_on_once_there_is_something() -> None:
    """Under torchrun only the rank that hears of steps may draw."""
    out = io.StringIO()
    with Watch(Console(file=out, force_terminal=True, width=120)) as watch:  # type: ignore[arg-type]
        assert out.getvalue() == ""
        watch.row(row(1, 1000), {}, 10_000)
        watch.row(row(2, 2000), {}, 10_000)
    assert "core" in out.getvalue()
    assert "step 2" in out.getvalue()
