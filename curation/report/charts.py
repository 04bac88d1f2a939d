"""The report's histograms: which there are, their axes, and the sentence under each."""

from collections.abc import Callable
from typing import NamedTuple

from curation.report import numbers
from curation.report.plots import Chart, chart, position
from curation.report.words import Words
from curation.sketches import Histogram
from curation.tally import Tally

_DECADES = tuple(float(10**power) for power in range(1, 10))
_PREFERRED = tuple(float(base * 10**power) for power in range(1, 9) for base in (1, 2, 5))
_TENTHS = tuple(i / 10 for i in range(11))


class Tick(NamedTuple):
    """A mark on an axis: percent of the width, and its label."""

    at: float
    label: str


class Row(NamedTuple):
    """A bin in words."""

    bounds: str
    kept: int
    dropped: int


class Plot(NamedTuple):
    """A histogram with its words; `chart` is None where nothing was measured."""

    title: str
    chart: Chart | None
    ticks: tuple[Tick, ...] = ()
    marks: tuple[Tick, ...] = ()
    """Thresholds, where all pages met the same one."""
    summary: str = ""
    rows: tuple[Row, ...] = ()
    empty: str = ""
    """What to say instead."""


def lengths(tally: Tally, words: Words) -> list[Plot]:
    """Characters and tokens a page."""

    def label(value: float) -> str:
        return numbers.compact(value, words.language)

    def plot(title: str, kept: Histogram, dropped: Histogram | None, empty: str) -> Plot:
        drawn = chart(kept, dropped, _DECADES)
        if drawn and len(drawn.ticks) < 3:
            drawn = chart(kept, dropped, _PREFERRED)
        return _plot(words, words(title), drawn, kept, label, words(empty))

    histograms = tally.histograms
    return [
        plot("length_characters", histograms["characters_kept"], histograms["characters_dropped"], "none_known"),
        plot("length_tokens", histograms["tokens_kept"], None, "no_tokens"),
    ]


def scores(tally: Tally, words: Words) -> list[Plot]:
    """Language and quality score, each with its threshold."""
    plots = []
    for stage in ("language", "quality"):
        kept, dropped = (tally.histograms[f"{stage}_score_{outcome}"] for outcome in ("kept", "dropped"))
        drawn = chart(kept, dropped, _TENTHS)
        plot = _plot(words, words(f"score_{stage}"), drawn, kept, numbers.measured, words("no_score"))
        plots.append(plot._replace(marks=_threshold(tally, stage, drawn, words)))
    return plots


def _plot(
    words: Words, title: str, drawn: Chart | None, kept: Histogram, label: Callable[[float], str], empty: str
) -> Plot:
    if drawn is None:
        return Plot(title, None, empty=empty)
    low, median, high = (kept.quantile(share) for share in (0.25, 0.5, 0.75))
    summary = ""
    if low is not None and median is not None and high is not None:
        summary = words("summary", median=_about(median, label), low=_about(low, label), high=_about(high, label))
    ticks = tuple(Tick(at, label(value)) for at, value in drawn.ticks)
    rows = tuple(
        Row(f"{label(bar.low)}–{label(bar.high)}", bar.kept, bar.dropped)
        for bar in drawn.bars
        if bar.kept or bar.dropped
    )
    return Plot(title, drawn, ticks, (), summary, rows)


def _about(value: float, label: Callable[[float], str]) -> str:
    """A quantile is known to a bin's width: two digits that matter, scores three."""
    return label(float(f"{value:.2g}") if value >= 2 else round(value, 2))


def _threshold(tally: Tally, stage: str, drawn: Chart | None, words: Words) -> tuple[Tick, ...]:
    met = {page.threshold for (name, _), pages in tally.shown.items() if name == stage for page in pages}
    if drawn is None or len(met) != 1:
        return ()
    (value,) = met
    at = None if value is None else position(drawn.bars, value)
    if value is None or at is None:
        return ()
    return (Tick(at, words("threshold_mark", value=numbers.measured(value))),)
