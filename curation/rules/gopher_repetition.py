"""Drops text that repeats itself: whole paragraphs and lines, or runs of words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from curation.rules.duplicates import duplicates
from curation.rules.segmented import require_segmenter, segmenter_deviations, segmenter_libraries, words_of
from schemas.records import Document, Measurement
from schemas.stage import Rule
from text.ngrams import Ngrams

__all__ = ["GopherRepetition"]

_PARAGRAPH_END = re.compile(r"\n{2,}")
_LINE_END = re.compile(r"\n+")


@dataclass(frozen=True, kw_only=True)
class GopherRepetition(Rule):
    """Gopher's repetition rules (Rae et al. 2021, arXiv 2112.11446, table A1).

    As datatrove 0.10.1's `GopherRepetitionFilter`: what counts as duplicate is every occurrence after the first; all
    shares of characters are of the whole text. None switches a rule off, as does leaving out an n. n-grams are of the
    language's words; the top n-gram's characters include its blanks, also where it occurs but once (the first such
    stands for all), those of duplicate n-grams do not, and after a duplicate one its n words are passed over.
    """

    reasons: ClassVar[tuple[str, ...]] = (
        "empty",
        "duplicate_paragraphs",
        "duplicate_paragraph_chars",
        "duplicate_lines",
        "duplicate_line_chars",
        *(f"top_{n}_gram" for n in (2, 3, 4)),
        *(f"duplicate_{n}_grams" for n in (5, 6, 7, 8, 9, 10)),
    )
    language: str = ""
    """Whose words: a FineWeb-2 label such as `kor_Hang`, empty for English."""
    max_duplicate_paragraphs: float | None = 0.3
    max_duplicate_paragraph_chars: float | None = 0.2
    max_duplicate_lines: float | None = 0.3
    max_duplicate_line_chars: float | None = 0.2
    top_n_grams: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    """(n, largest share), n within 2 and 4."""
    duplicate_n_grams: tuple[tuple[int, float], ...] = (
        (5, 0.15),
        (6, 0.14),
        (7, 0.13),
        (8, 0.12),
        (9, 0.11),
        (10, 0.10),
    )
    """(n, largest share), n within 5 and 10."""

    def __post_init__(self) -> None:
        """Refuses a language without words, and an n that has no reason."""
        require_segmenter(self.language)
        for n, _ in self.top_n_grams:
            if f"top_{n}_gram" not in self.reasons:
                raise ValueError(f"gopher_repetition.top_n_grams has n = {n!r}; it may be 2, 3 or 4")
        for n, _ in self.duplicate_n_grams:
            if f"duplicate_{n}_grams" not in self.reasons:
                raise ValueError(f"gopher_repetition.duplicate_n_grams has n = {n!r}; it may be 5 to 10")

    def libraries(self) -> tuple[str, ...]:
        """The segmenter's."""
        return segmenter_libraries(self.language)

    def deviations(self) -> tuple[str, ...]:
        """The segmenter's."""
        return segmenter_deviations(self.language)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """In the reasons' order; of the empty text nothing but `empty`."""
        text = doc.text
        yield Measurement("empty", len(text), 1.0, "min")
        if not text:
            return
        yield from self._measure_paragraphs(text)
        yield from self._measure_lines(text)
        yield from self._measure_n_grams(text)

    def _measure_paragraphs(self, text: str) -> Iterator[Measurement]:
        if self.max_duplicate_paragraphs is None and self.max_duplicate_paragraph_chars is None:
            return
        paragraphs = _PARAGRAPH_END.split(text.strip())
        count, characters = duplicates(paragraphs)
        if self.max_duplicate_paragraphs is not None:
            share = count / len(paragraphs)
            yield Measurement("duplicate_paragraphs", share, self.max_duplicate_paragraphs, "max")
        if self.max_duplicate_paragraph_chars is not None:
            share = characters / len(text)
            yield Measurement("duplicate_paragraph_chars", share, self.max_duplicate_paragraph_chars, "max")

    def _measure_lines(self, text: str) -> Iterator[Measurement]:
        if self.max_duplicate_lines is None and self.max_duplicate_line_chars is None:
            return
        lines = _LINE_END.split(text)
        count, characters = duplicates(lines)
        if self.max_duplicate_lines is not None:
            yield Measurement("duplicate_lines", count / len(lines), self.max_duplicate_lines, "max")
        if self.max_duplicate_line_chars is not None:
            yield Measurement("duplicate_line_chars", characters / len(text), self.max_duplicate_line_chars, "max")

    def _measure_n_grams(self, text: str) -> Iterator[Measurement]:
        grams = Ngrams(words_of(text, self.language))
        for n, threshold in self.top_n_grams:
            yield Measurement(f"top_{n}_gram", grams.top_chars(n) / len(text), threshold, "max")
        for n, threshold in self.duplicate_n_grams:
            yield Measurement(f"duplicate_{n}_grams", grams.duplicate_chars(n) / len(text), threshold, "max")
