"""Curves as SVG paths: points in, geometry and the words beside it out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 240
"""Units of a picture; it stretches to the width at hand, so it holds no text."""
_POINTS = 500
"""At most so many a curve: each is the mean of its share of the rows."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One drawn series."""

    title: str
    about: str
    path: str
    """Of the means of neighbouring rows; empty where there is nothing to draw."""
    low: str
    high: str
    last: str
    marks: tuple[float, ...]
    """Where stages begin, in units across."""


def curve(
    title: str,
    about: str,
    xs: Sequence[float],
    ys: Sequence[float | None],
    form: str = "{:,.4g}",
    marks: Sequence[float] = (),
) -> Curve:
    """Draws a series.

    Args:
      title: What it is.
      about: What it says, in a few words.
      xs: Rising; the last one is the right edge.
      ys: One for each; None leaves a gap.
      form: How a value is written.
      marks: Places on x that get a line.
    """
    points = _thinned([(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and math.isfinite(y)])
    if not points:
        return Curve(title, about, "", "", "", "", ())
    right = max(xs[-1], 1e-12)
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = (high - low) or 1.0
    drawn = [f"{WIDTH * x / right:.1f},{HEIGHT - HEIGHT * (y - low) / span:.1f}" for x, y in points]
    places = tuple(round(WIDTH * mark / right, 1) for mark in marks if 0 < mark < right)
    words = [form.format(y) for y in (low, high, points[-1][1])]
    return Curve(title, about, "M" + "L".join(drawn), words[0], words[1], words[2], places)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equally many neighbours; the first and the last point stay what they are where nothing is thinned."""
    together = -(-len(points) // _POINTS)
    if together <= 1:
        return list(points)
    groups = [points[n : n + together] for n in range(0, len(points), together)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
