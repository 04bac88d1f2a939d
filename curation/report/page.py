"""Renders the report: the view through the template, with the style sheet inside, into one file."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from curation.report import charts, numbers
from curation.report.inert import one_line, visible
from curation.report.view import FILE_ROWS, View
from curation.report.words import Language, Words
from curation.tally import Tally
from schemas.manifest import Manifest

_FOLDER = Path(__file__).parent


def render(manifest: Manifest, tally: Tally, *, title: str = "", language: Language = "en") -> str:
    """The report of a run as one HTML document.

    It needs nothing else and asks for nothing: no script, no request (its Content-Security-Policy forbids both), no
    pass over the pages. Its size is bounded by the recipe and the caps of its tables. What pages hold is shown
    escaped, with control and direction-changing characters as visible signs. Equal arguments give equal bytes.

    Args:
      manifest: the run's manifest, whose counts are the ones told.
      tally: the merged tally of the run's tasks: examples, histograms, languages, domains.
      title: the heading, the pipeline's name by default.
      language: of the report's own words, "en" or "ko".

    Returns:
      The document, to be written as UTF-8.

    Raises:
      ValueError: there are no words in that language.
    """
    words = Words(language)
    view = View(manifest=manifest, tally=tally, words=words)
    return (
        _environment(language)
        .get_template("page.html.j2")
        .render(
            manifest=manifest,
            title=one_line(title or manifest.pipeline),
            language=language,
            w=words,
            view=view,
            lengths=charts.lengths(tally, words),
            scores=charts.scores(tally, words),
            clusters=_clusters(tally),
            file_rows=FILE_ROWS,
            recipe_json=_recipe_json(manifest),
        )
    )


@functools.cache
def _environment(language: Language) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "count": numbers.count,
        "compact": lambda number: numbers.compact(number, language),
        "size": numbers.size,
        "inert": one_line,
        "parameter": _parameter,
    }
    environment.filters.update(filters)
    environment.globals["percent"] = numbers.percent
    return environment


def _harmless(value: Any) -> Any:
    """Every string that the template writes passes here before it is escaped, whatever the view did with it."""
    return visible(value) if type(value) is str else value


def _parameter(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str))


def _recipe_json(manifest: Manifest) -> str:
    """The recipe's part of the manifest; escapes keep it inert, as JSON keeps it on lines."""
    chosen = {"pipeline", "language", "seed", "recipe_sha256", "stages", "publish", "sample"}
    return json.dumps(manifest.model_dump(mode="json", include=chosen), indent=2, sort_keys=False)


def _clusters(tally: Tally) -> list[tuple[str, int, float]]:
    """Rows of (pages in a cluster, clusters, bar in percent)."""
    histogram = tally.histograms["cluster_size"]
    peak = max(histogram.counts)
    last = max((i for i, count in enumerate(histogram.counts) if count), default=-1)
    rows = []
    for i, count in enumerate(histogram.counts[: last + 1]):
        low, high = (int(edge) for edge in (*histogram.edges, 0)[i : i + 2])
        bounds = f"{low:,}" if high == low + 1 else f"{low:,}–{high - 1:,}" if high else f"{low:,}+"
        rows.append((bounds, count, 100 * count / peak))
    return rows
