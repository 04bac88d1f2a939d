"""Drops text whose words and lines are not those of running prose."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from curation.rules.segmented import require_segmenter, segmenter_deviations, segmenter_libraries, words_of
from schemas.records import Document, Measurement
from schemas.stage import Rule
from text.punctuation import SYMBOLS

__all__ = ["GopherQuality"]

ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


@dataclass(frozen=True, kw_only=True)
class GopherQuality(Rule):
    """Gopher's quality rules (Rae et al. 2021, arXiv 2112.11446, appendix A1.1).

    As datatrove 0.10.1's `GopherQualityFilter`: words are those of the language's segmenter, punctuation included, and
    those made wholly of symbols count for the ratios but not for number and mean length. None switches a rule off.

    Deviation: where that first rule is off, a text without words or lines is judged (by ratios of 0), not a crash.
    """

    reasons: ClassVar[tuple[str, ...]] = (
        "too_few_words",
        "too_many_words",
        "words_too_short",
        "words_too_long",
        "too_many_hashes",
        "too_many_ellipses",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
        "too_few_alphabetic_words",
        "too_few_stop_words",
    )
    language: str = ""
    """Whose words: a FineWeb-2 label such as `kor_Hang`, empty for English."""
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = 3
    """Characters."""
    max_mean_word_length: float | None = 10
    max_hashes: float | None = 0.1
    """`#` / words."""
    max_ellipses: float | None = 0.1
    """`...` and `…` / words."""
    max_bullet_lines: float | None = 0.9
    """Share of lines that begin with `•` or `-`."""
    max_ellipsis_lines: float | None = 0.3
    """Share of lines that end in an ellipsis."""
    min_alphabetic_words: float | None = 0.8
    """Share of words with a letter in them."""
    min_stop_words: int | None = 2
    """How many different ones of `stop_words` must occur, as they are spelled there."""
    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS

    def __post_init__(self) -> None:
        """Refuses a language without words."""
        require_segmenter(self.language)

    def libraries(self) -> tuple[str, ...]:
        """The segmenter's."""
        return segmenter_libraries(self.language)

    def deviations(self) -> tuple[str, ...]:
        """The segmenter's."""
        return segmenter_deviations(self.language)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """In the reasons' order."""
        words = words_of(doc.text, self.language)
        yield from self._measure_words(words)
        yield from self._measure_marks(doc.text, len(words))
        yield from self._measure_lines(doc.text.splitlines())
        if self.min_alphabetic_words is not None:
            share = _share(sum(_is_alphabetic(word) for word in words), len(words))
            yield Measurement("too_few_alphabetic_words", share, self.min_alphabetic_words, "min")
        if self.min_stop_words is not None:
            found = len(set(self.stop_words).intersection(words))
            yield Measurement("too_few_stop_words", found, self.min_stop_words, "min")

    def _measure_words(self, words: tuple[str, ...]) -> Iterator[Measurement]:
        lengths = [len(word) for word in words if not _is_symbol(word)]
        count = len(lengths)
        if self.min_words is not None:
            yield Measurement("too_few_words", count, self.min_words, "min")
        if self.max_words is not None:
            yield Measurement("too_many_words", count, self.max_words, "max")
        mean = sum(lengths) / count if count else math.nan
        if self.min_mean_word_length is not None:
            yield Measurement("words_too_short", mean, self.min_mean_word_length, "min")
        if self.max_mean_word_length is not None:
            yield Measurement("words_too_long", mean, self.max_mean_word_length, "max")

    def _measure_marks(self, text: str, words: int) -> Iterator[Measurement]:
        if self.max_hashes is not None:
            yield Measurement("too_many_hashes", _share(text.count("#"), words), self.max_hashes, "max")
        if self.max_ellipses is not None:
            ellipses = text.count("...") + text.count("…")
            yield Measurement("too_many_ellipses", _share(ellipses, words), self.max_ellipses, "max")

    def _measure_lines(self, lines: list[str]) -> Iterator[Measurement]:
        if self.max_bullet_lines is not None:
            bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
            yield Measurement("too_many_bullet_lines", _share(bullets, len(lines)), self.max_bullet_lines, "max")
        if self.max_ellipsis_lines is not None:
            ended = sum(line.rstrip().endswith(("...", "…")) for line in lines)
            yield Measurement("too_many_ellipsis_lines", _share(ended, len(lines)), self.max_ellipsis_lines, "max")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _is_symbol(word: str) -> bool:
    # no symbol is a letter, so the first test, which is the quick one, settles nearly all words
    return not word.isalpha() and all(character in SYMBOLS for character in word)


def _is_alphabetic(word: str) -> bool:
    return word.isalpha() or any(character.isalpha() for character in word)
