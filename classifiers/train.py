"""Trains a quality model: good texts against others, a part of both held out to measure it."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from classifiers.evaluate import Evaluation, measure, scores
from classifiers.fasttext import PREFIX, one_line
from classifiers.fit import FitError, NanError, fit
from classifiers.quality import NEGATIVE, POSITIVE
from classifiers.texts import TextsError, require, texts

_ATTEMPTS = 4
_HELD_OUT_STEPS = 1 << 32
_SEEDS = 1 << 31


class OptionsError(ValueError):
    """A number that can't be trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of fastText's supervised training (Joulin et al. 2016, arXiv 1607.01759), and the split."""

    seed: int = 0
    dim: int = 64
    epochs: int = 5
    ngrams: int = 2
    learning_rate: float = 0.5
    """At the start; it falls to 0. Halved and tried again when the weights run off."""
    min_count: int = 2
    """Rarer words are ignored."""
    buckets: int = 200_000
    """For n-grams by hash; with 64 dimensions they make a model of 51 MB."""
    held_out: float = 0.1
    """Share of texts, chosen by hash, that the model does not see."""

    def __post_init__(self) -> None:
        """Refuses what can't be trained with.

        Raises:
          OptionsError: a number out of its range.
        """
        for name in ("dim", "epochs", "ngrams", "min_count", "buckets"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} = {getattr(self, name)!r}: at least 1 was expected")
        if not 0 <= self.seed < _SEEDS:
            raise OptionsError(f"seed = {self.seed!r}: from 0 to {_SEEDS - 1} was expected")
        if not 0 < self.held_out < 1:
            raise OptionsError(f"held_out = {self.held_out!r}: a share between 0 and 1 was expected")
        if self.learning_rate <= 0:
            raise OptionsError(f"learning_rate = {self.learning_rate!r}: above 0 was expected")


@dataclass(frozen=True, slots=True)
class Training:
    """What was trained and how well it does on the texts held out."""

    model: str
    options: Options
    """As used in the end: the learning rate may have been lowered."""
    positives: int
    negatives: int
    """Texts trained on."""
    duplicates: int
    """Texts left out since they stood there before; the negatives are read first."""
    attempts: int
    evaluation: Evaluation


def train(
    positives: Sequence[str],
    negatives: Sequence[str],
    model: str | Path,
    *,
    options: Options | None = None,
    **changes: float,
) -> Training:
    """Trains `model` and measures it. The same texts and options give the same bytes.

    Args:
      positives: paths or globs of JSONL or Parquet files with a `text` column.
      negatives: likewise.
      model: where to write; appears whole or not at all.
      options: defaults unless given.
      changes: single options, such as `seed=1, epochs=10`.

    Raises:
      OptionsError: an option out of its range.
      StorageError: a file is missing.
      TextsError: too few texts, or a file that holds none.
      FitError: fastText failed, or met NaN at every learning rate tried.
    """
    chosen = replace(options or Options(), **changes)  # type: ignore[arg-type]
    require(positives, negatives)
    target = Path(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        split = _Split(Path(folder), chosen)
        split.add(NEGATIVE, texts(negatives))
        split.add(POSITIVE, texts(positives))
        split.shuffle()
        new = Path(folder) / "model.bin"
        attempts, chosen = _fit(split.lines, new, chosen)
        good, bad = (scores(new, split.held_out(label)) for label in (POSITIVE, NEGATIVE))
        new.replace(target)
    counts = split.counts
    return Training(
        str(target), chosen, counts[POSITIVE], counts[NEGATIVE], split.duplicates, attempts, measure(good, bad)
    )


def _fit(lines: Path, model: Path, options: Options) -> tuple[int, Options]:
    """Attempts made, and the options of the one that succeeded."""
    for attempt in range(1, _ATTEMPTS + 1):
        rate = options.learning_rate / 2 ** (attempt - 1)
        try:
            fit(
                lines,
                model,
                {
                    "lr": rate,
                    "dim": options.dim,
                    "epoch": options.epochs,
                    "wordNgrams": options.ngrams,
                    "minCount": options.min_count,
                    "bucket": options.buckets,
                    "seed": options.seed,
                },
            )
        except NanError:
            continue
        return attempt, replace(options, learning_rate=rate)
    raise FitError(f"training met NaN at every learning rate from {options.learning_rate!r} down to {rate!r}")


class _Split:
    """Training lines on disk, shuffled by hash; held-out lines likewise. Memory: some 300 bytes a text."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.lines = folder / "train.txt"
        self.counts = {POSITIVE: 0, NEGATIVE: 0}
        self.duplicates = 0
        self._folder = folder
        self._options = options
        self._seen: set[int] = set()
        self._order: list[tuple[int, int, int]] = []  # hash, offset, length
        self._bound = int(options.held_out * _HELD_OUT_STEPS)

    def add(self, label: str, found: Iterator[str]) -> None:
        """Files each text by its hash, which depends on nothing else but the seed."""
        with (self._folder / "unshuffled").open("ab") as lines, self._aside(label).open("wb") as aside:
            for text in found:
                line = one_line(text).encode("utf-8", "replace")
                key = xxhash.xxh3_64_intdigest(line, seed=self._options.seed)
                if key in self._seen:
                    self.duplicates += 1
                    continue
                self._seen.add(key)
                if key % _HELD_OUT_STEPS < self._bound:
                    aside.write(line + b"\n")
                    continue
                self.counts[label] += 1
                written = f"{PREFIX}{label} ".encode() + line + b"\n"
                self._order.append((key, lines.tell(), len(written)))
                lines.write(written)
        self._check(label)

    def _check(self, label: str) -> None:
        kind = "positives" if label == POSITIVE else "negatives"
        if not self.counts[label] or not self._aside(label).stat().st_size:
            raise TextsError(
                f"{kind}: {self.counts[label]} texts to train on and none to hold out (held_out = "
                f"{self._options.held_out!r}), {self.duplicates} duplicates; give more, some hundreds at the least"
            )

    def shuffle(self) -> None:
        """Writes the training lines in the order of their hashes."""
        order: NDArray[np.uint64] = np.array(sorted(self._order), dtype=np.uint64)
        with (self._folder / "unshuffled").open("rb") as source, self.lines.open("wb") as target:
            for _, offset, length in order.tolist():
                _copy(source, target, offset, length)

    def held_out(self, label: str) -> Iterator[str]:
        """The lines that the model did not see."""
        with self._aside(label).open(encoding="utf-8", newline="\n") as lines:
            yield from lines

    def _aside(self, label: str) -> Path:
        return self._folder / f"held_out_{label}"


def _copy(source: BinaryIO, target: BinaryIO, offset: int, length: int) -> None:
    source.seek(offset)
    target.write(source.read(length))
