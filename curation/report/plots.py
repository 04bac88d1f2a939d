"""Geometry of the report's pictures: numbers and SVG paths, no markup and no words.

Pictures hold no text and stretch to the width at hand (`preserveAspectRatio="none"`); labels are HTML beside them, so
they stay legible on every screen and can be selected and read aloud.
"""

from collections.abc import Sequence
from typing import NamedTuple

from curation.sketches import Histogram

WIDTH = 1000
"""Units across the funnel."""
ROW = 100
"""Units down a stage of the funnel."""
_STREAM = 940
_PART = 46
"""How far dropped pages move away from the stream."""
_HAIR = 2.5
"""Least width of what is not nothing."""


class Flow(NamedTuple):
    """The funnel's drawing: outline of the stream, and of what parts from it, by stage ("" where nothing does)."""

    height: int
    stream: str
    parted: tuple[str, ...]


def funnel(pages: int, dropped: Sequence[int]) -> Flow:
    """Draws the stream of pages through the stages.

    Args:
      pages: what enters the first stage.
      dropped: what each stage drops, in order.
    """

    def width(count: int) -> float:
        return 0.0 if count <= 0 or pages <= 0 else max(_HAIR, _STREAM * count / pages)

    left = pages
    right = [f"H{width(left):.1f}", f"V{ROW}"]
    parted: list[str] = []
    for i, lost in enumerate(dropped):
        top = (i + 1) * ROW
        before, left = width(left), left - lost
        after = width(left)
        right += [f"H{after:.1f}", f"V{top + ROW}"]
        parted.append(_parting(after, max(before, after + _HAIR), top) if lost else "")
    height = (len(dropped) + 2) * ROW
    tip = width(left)
    right += [f"V{height - 45}", f"L{tip / 2:.1f},{height - 12}", f"L0,{height - 45}"]
    stream = "M0,22" + "".join(right) + "Z" if pages else ""
    return Flow(height, stream, tuple(parted))


def _parting(left: float, right: float, top: float) -> str:
    """A ribbon from [left, right] at the stage's top, moving away from the stream and ending below."""
    middle, bend, end = (top + ROW * part for part in (0.3, 0.6, 0.9))
    return (
        f"M{left:.1f},{top:.1f}H{right:.1f}"
        f"C{right:.1f},{middle:.1f} {right + _PART:.1f},{middle:.1f} {right + _PART:.1f},{bend:.1f}"
        f"V{end:.1f}H{left + _PART:.1f}V{bend:.1f}"
        f"C{left + _PART:.1f},{middle:.1f} {left:.1f},{middle:.1f} {left:.1f},{top:.1f}Z"
    )


class Bar(NamedTuple):
    """A bin: its bounds as values, its counts, and its bars' heights in percent."""

    low: float
    high: float
    kept: int
    dropped: int
    kept_height: float
    dropped_height: float


class Chart(NamedTuple):
    """A histogram to draw: bars of equal width, and where values stand on the axis, in percent of the width."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, float], ...]
    """(percent, value)."""
    peak: int
    """Pages of the tallest bar."""


def chart(kept: Histogram, dropped: Histogram | None, ticks: Sequence[float]) -> Chart | None:
    """The histograms stacked, cut to the bins in use; None where both are empty.

    Args:
      kept: counts of kept pages.
      dropped: counts of dropped pages over the same edges, if they are known.
      ticks: values to mark on the axis; those outside of the bins in use are left out.
    """
    others = dropped.counts if dropped else [0] * len(kept.counts)
    both = [a + b for a, b in zip(kept.counts, others, strict=True)]
    used = [i for i, count in enumerate(both) if count]
    if not used:
        return None
    first, last = max(0, used[0] - 1), min(len(both) - 1, used[-1] + 1)
    bounds, peak = kept.bounds(), max(both)
    bars = tuple(
        Bar(*bounds[i], kept.counts[i], others[i], 100 * kept.counts[i] / peak, 100 * others[i] / peak)
        for i in range(first, last + 1)
    )
    return Chart(bars, tuple((at, value) for value in ticks if (at := position(bars, value)) is not None), peak)


def position(bars: Sequence[Bar], value: float) -> float | None:
    """Where a value stands on the axis of equally wide bars, in percent; None where it is off the axis."""
    for i, bar in enumerate(bars):
        if bar.low <= value < bar.high:
            return 100 * (i + (value - bar.low) / (bar.high - bar.low)) / len(bars)
        if value == bar.high and i == len(bars) - 1:
            return 100.0
    return None
