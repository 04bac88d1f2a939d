"""What people see while a run goes on."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from curation.progress import Beat, Quiet
from service import progress
from service.progress import WORDS, Face, clock, losses

CLOCKS = {
    0: "0 s", 1.4: "1 s", 89.4: "89 s", 90: "2 min", 600: "10 min", 5399: "90 min", 5400: "1.5 h", 36_000: "10.0 h",
}  # fmt: skip


@pytest.mark.parametrize(("seconds", "words"), CLOCKS.items())
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


@pytest.fixture
def screen() -> tuple[Face, io.StringIO]:
    """A face without a terminal."""
    out = io.StringIO()
    return Face(Console(file=out, width=200)), out


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Sets the clock."""
    monkeypatch.setattr("service.progress.time.monotonic", lambda: 1000.0 + seconds)


def test_plain_lines_now_and_then(screen: tuple[Face, io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    face, out = screen
    with face:
        at(monkeypatch, 0)
        face.begin("sift", 4, 0)
        face.beat(Beat("sift", 0, 4))
        at(monkeypatch, 1)
        face.beat(Beat("sift", 1, 4, 10, 1, 0.25))
        at(monkeypatch, 11)
        face.beat(Beat("sift", 2, 4, 3000, 600, 0.5))
    assert out.getvalue().splitlines() == [
        "reading and judging pages: 0/4 tasks",
        "reading and judging pages: 2/4 tasks · 3,000 pages · 273 pages/s · 20.0 % kept · 11 s left",
    ]


def test_time_left_counts_from_where_a_run_went_on(
    screen: tuple[Face, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine tenths stood already: the last tenth takes as long as it takes."""
    face, out = screen
    at(monkeypatch, 0)
    face.begin("sift", 10, 9)
    face.beat(Beat("sift", 9, 10, 9000, 900, 0.9))
    at(monkeypatch, 20)
    face.beat(Beat("sift", 9, 10, 9100, 910, 0.95))
    first, _, second = out.getvalue().splitlines()
    assert first == "note: reading and judging pages: 9 of 10 tasks are done already"
    assert second == "reading and judging pages: 9/10 tasks · 9,100 pages · 5 pages/s · 10.0 % kept · 20 s left"


def test_notes(screen: tuple[Face, io.StringIO]) -> None:
    face, out = screen
    face.note("sift: try 2 of 3 [for] 1 jobs")
    assert out.getvalue() == "note: sift: try 2 of 3 [for] 1 jobs\n"


def test_a_terminal_shows_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    with Face(Console(file=out, width=100, force_terminal=True, color_system=None)) as face:
        face.begin("sift", 2, 0)
        face.beat(Beat("sift", 1, 2, 50, 5, 0.5, {"c4.lorem_ipsum": 40, "fineweb.x": 5}))
        assert face._live is not None
        face._live.refresh()
    shown = out.getvalue()
    assert "reading and judging pages" in shown
    assert "c4.lorem_ipsum" in shown
    assert "▇" * 24 in shown


def test_the_largest_losses() -> None:
    table = losses({f"s.r{i}": i for i in range(1, 9)})
    assert isinstance(table, Table)
    assert table.row_count == progress.TOP_LOSSES
    narrow = io.StringIO()
    Console(file=narrow, width=8).print(table, crop=True)
    assert [line.split() for line in narrow.getvalue().splitlines()] == [[str(i), f"s.r{i}"] for i in range(8, 3, -1)]
    assert losses({}).row_count == 0


def test_every_phase_has_its_words() -> None:
    assert set(WORDS) == {"sift", "sign", "match", "cluster", "publish"}
    quiet = Quiet()
    assert [quiet.begin("sift", 1, 0), quiet.beat(Beat("sift", 0, 1)), quiet.note("x")] == [None] * 3
