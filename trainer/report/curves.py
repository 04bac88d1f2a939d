"""Curves as SVG paths: points in, geometry and the words beside it out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 1000, 240
"""Units of a picture; it stretches to the width at hand, so it holds no text."""
_POINTS = 500
"""At most so many a curve: each is the mean of its share of the rows."""
_TREND = 40
"""A trend's point is the mean of a fortieth of the curve's points to either side."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One drawn series."""

    title: str
    about: str
    path: str
    """Of the means of neighbouring rows; empty where there is nothing to draw."""
    trend: str
    """The same, smoothed; empty where no trend is asked for."""
    dots: str
    """Single points."""
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
    trend: bool = False,
    dots: Sequence[tuple[float, float]] = (),
) -> Curve:
    """Draws a series.

    Args:
      title: What it is.
      about: What it says, in a few words.
      xs: Rising; the last one is the right edge.
      ys: One for each; None leaves a gap.
      form: How a value is written.
      marks: Places on x that get a line.
      trend: Whether to smooth it; no mean reaches across a mark.
      dots: (x, y) of points beside the series, on the same axes.
    """
    points = _thinned([(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and math.isfinite(y)])
    if not points:
        return Curve(title, about, "", "", "", "", "", "", ())
    right = max(xs[-1], 1e-12)
    heights = [y for _, y in (*points, *dots)]
    low, high = min(heights), max(heights)

    def drawn(series: Sequence[tuple[float, float]]) -> list[str]:
        span = (high - low) or 1.0
        return [f"{WIDTH * x / right:.1f},{HEIGHT - HEIGHT * (y - low) / span:.1f}" for x, y in series]

    return Curve(
        title,
        about,
        path="M" + "L".join(drawn(points)),
        trend="".join("M" + "L".join(drawn(part)) for part in _smoothed(points, marks)) if trend else "",
        dots="".join(f"M{place}h0" for place in drawn(dots)),
        low=form.format(low),
        high=form.format(high),
        last=form.format(points[-1][1]),
        marks=tuple(round(WIDTH * mark / right, 1) for mark in marks if 0 < mark < right),
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equally many neighbours; the first and the last point stay what they are where nothing is thinned."""
    together = -(-len(points) // _POINTS)
    if together <= 1:
        return list(points)
    groups = [points[n : n + together] for n in range(0, len(points), together)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _smoothed(points: Sequence[tuple[float, float]], marks: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
    """Centred means, apart for what lies between two marks; a mark begins the part behind it."""
    reach = -(-len(points) // _TREND)
    for _, part in groupby(points, lambda point: sum(mark <= point[0] for mark in marks)):
        xs, ys = zip(*part, strict=True)
        near = [ys[max(0, n - reach) : n + reach + 1] for n in range(len(ys))]
        yield [(x, sum(some) / len(some)) for x, some in zip(xs, near, strict=True)]
