"""How well a quality model tells good texts from others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifiers.fasttext import load, one_line
from classifiers.quality import POSITIVE
from classifiers.texts import TextsError, require, texts

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a `min_score` would keep and lose. Shares; precision is 1 where nothing is kept."""

    min_score: float
    kept: float
    """Of all texts."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model against labelled texts; accuracy, precision, recall and F1 at a score of one half."""

    positives: int
    negatives: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float
    """Probability that a good text scores above another, ties half (Hanley and McNeil 1982)."""
    thresholds: tuple[AtThreshold, ...]


def evaluate(
    model: str | Path, positives: Sequence[str], negatives: Sequence[str], *, label: str = POSITIVE
) -> Evaluation:
    """Scores texts of both kinds.

    Args:
      model: path of a fastText model.
      positives: paths or globs of JSONL or Parquet files with a `text` column.
      negatives: likewise.
      label: the good label, with or without `__label__`.

    Raises:
      ModelError: no model, or one without the label.
      TextsError: no texts of one kind, or a file that holds none.
      StorageError: a file is missing.
    """
    require(positives, negatives)
    good, bad = (scores(model, texts(paths), label=label) for paths in (positives, negatives))
    for kind, found, paths in (("positives", good, positives), ("negatives", bad, negatives)):
        if not len(found):
            raise TextsError(f"{kind}: no text in {list(paths)!r}")
    return measure(good, bad)


def scores(model: str | Path, lines: Iterable[str], *, label: str = POSITIVE) -> NDArray[np.float64]:
    """The scores of texts, shape (n_texts,), as `Quality` gives them."""
    name = label.removeprefix("__label__")
    loaded = load(Path(model))
    loaded.require(name)
    found = (dict(loaded.predict(one_line(text), k=-1)).get(name, 0.0) for text in lines)
    return np.minimum(np.fromiter(found, np.float64), 1.0)


def measure(good: NDArray[np.float64], bad: NDArray[np.float64]) -> Evaluation:
    """The figures from the scores of both kinds, shapes (n_positives,) and (n_negatives,), neither empty."""
    half = _at(good, bad, 0.5)
    right = np.count_nonzero(good >= 0.5) + np.count_nonzero(bad < 0.5)
    return Evaluation(
        positives=len(good),
        negatives=len(bad),
        accuracy=float(right / (len(good) + len(bad))),
        precision=half.precision,
        recall=half.recall,
        f1=half.f1,
        auc=_auc(good, bad),
        thresholds=tuple(_at(good, bad, t) for t in THRESHOLDS),
    )


def _at(good: NDArray[np.float64], bad: NDArray[np.float64], threshold: float) -> AtThreshold:
    hits, misses = int(np.count_nonzero(good >= threshold)), int(np.count_nonzero(bad >= threshold))
    kept = hits + misses
    precision, recall = hits / kept if kept else 1.0, hits / len(good)
    f1 = 2 * hits / (kept + len(good))
    return AtThreshold(threshold, kept / (len(good) + len(bad)), precision, recall, f1)


def _auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    ordered = np.sort(bad)
    below, up_to = np.searchsorted(ordered, good, "left"), np.searchsorted(ordered, good, "right")
    return float((below + up_to).sum() / 2 / (len(good) * len(bad)))
