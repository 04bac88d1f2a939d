"""Curves: where points come to lie, and what is said of them."""

import math

import pytest

from trainer.report.curves import HEIGHT, WIDTH, curve


def test_points_span_the_picture() -> None:
    drawn = curve("Loss", "nats", [10, 20, 40], [4.0, 3.0, 2.0], marks=[20, 40, 0])
    assert drawn.path == f"M{WIDTH / 4:.1f},0.0L{WIDTH / 2:.1f},{HEIGHT / 2:.1f}L{WIDTH:.1f},{HEIGHT:.1f}"
    assert (drawn.low, drawn.high, drawn.last) == ("2", "4", "2")
    assert drawn.marks == (500.0,)
    assert (drawn.title, drawn.about) == ("Loss", "nats")


def test_gaps_are_left_out() -> None:
    drawn = curve("a", "b", [1, 2, 3, 4], [None, 1.0, math.nan, 3.0], "{:.1f} s")
    assert drawn.path.count("L") == 1
    assert (drawn.low, drawn.high, drawn.last) == ("1.0 s", "3.0 s", "3.0 s")


def test_nothing_to_draw() -> None:
    for ys in ([], [None, math.inf]):
        drawn = curve("a", "b", [1.0, 2.0][: len(ys)], ys, marks=[1])
        assert (drawn.path, drawn.low, drawn.high, drawn.last, drawn.marks) == ("", "", "", "", ())


def test_what_never_changes_is_a_line() -> None:
    assert curve("a", "b", [1, 2], [5, 5]).path == f"M500.0,{HEIGHT:.1f}L1000.0,{HEIGHT:.1f}"


@pytest.mark.parametrize(("rows", "points"), [(500, 500), (501, 251), (10_000, 500)])
def test_many_rows_are_means_of_neighbours(rows: int, points: int) -> None:
    drawn = curve("a", "b", range(1, rows + 1), [float(n % 2) for n in range(rows)])
    assert drawn.path.count(",") == points
    if points < rows and rows % 2 == 0:
        assert (drawn.low, drawn.high) == ("0.5", "0.5")


def test_a_trend_is_smooth_and_stops_at_marks() -> None:
    """Two stages, the second on another level: no point of the trend lies between the two."""
    xs = list(range(1, 201))
    ys = [(10.0 if x < 101 else 2.0) + x % 2 for x in xs]
    drawn = curve("a", "b", xs, ys, marks=[101], trend=True)
    first, second = ([float(at.split(",")[1]) for at in part.split("L")] for part in drawn.trend.split("M")[1:])
    assert (len(first), len(second)) == (100, 100)
    level = HEIGHT / 9  # of one unit
    assert max(abs(y - 0.5 * level) for y in first) < 0.25 * level  # the mean of 10 and 11, from 11 down
    assert max(abs(y - 8.5 * level) for y in second) < 0.25 * level
    assert curve("a", "b", xs, ys).trend == ""


def test_dots_share_the_axes() -> None:
    drawn = curve("a", "b", [1, 2], [4.0, 5.0], dots=[(1, 3.0), (2, 4.0)])
    assert drawn.dots == f"M500.0,{HEIGHT:.1f}h0M1000.0,{HEIGHT / 2:.1f}h0"
    assert (drawn.low, drawn.high, drawn.last) == ("3", "5", "5")
