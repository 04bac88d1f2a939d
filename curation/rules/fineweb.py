"""Drops lists, menus and other text that is not made of sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from curation.rules.duplicates import duplicates
from curation.rules.segmented import require_segmenter, segmenter_deviations, segmenter_libraries, words_of
from schemas.records import Document, Measurement
from schemas.stage import Rule
from text.punctuation import TERMINAL_PUNCTUATION

__all__ = ["FineWeb"]

_TERMINAL = tuple(sorted(TERMINAL_PUNCTUATION))


@dataclass(frozen=True, kw_only=True)
class FineWeb(Rule):
    """FineWeb's own rules (Penedo et al. 2024, arXiv 2406.17557, section 3.6), over lines that are not blank.

    As datatrove 0.10.1's `FineWebQualityFilter`. Words are those of the language's segmenter, which for English is
    equal to spaCy's as there (the paper's were NLTK's). None switches a rule off.
    """

    reasons: ClassVar[tuple[str, ...]] = (
        "empty",
        "too_few_terminal_lines",
        "too_many_short_lines",
        "duplicate_line_chars",
        "too_many_newlines",
    )
    language: str = ""
    """Whose words: a FineWeb-2 label such as `kor_Hang`, empty for English."""
    min_terminal_lines: float | None = 0.12
    """Share of lines that end in a mark that ends sentences in some script."""
    max_short_lines: float | None = 0.67
    """Share of lines of at most `short_line` characters."""
    short_line: int = 30
    max_duplicate_line_chars: float | None = 0.01
    """Characters in lines that occurred before / characters without newlines."""
    max_newlines: float | None = 0.3
    """Newlines / words."""

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
        """In the reasons' order; without any line nothing but `empty`."""
        text = doc.text
        lines = [line for line in text.split("\n") if line.strip()]
        yield Measurement("empty", len(lines), 1.0, "min")
        if not lines:
            return
        if self.min_terminal_lines is not None:
            share = sum(line.endswith(_TERMINAL) for line in lines) / len(lines)
            yield Measurement("too_few_terminal_lines", share, self.min_terminal_lines, "min")
        if self.max_short_lines is not None:
            share = sum(len(line) <= self.short_line for line in lines) / len(lines)
            yield Measurement("too_many_short_lines", share, self.max_short_lines, "max")
        newlines = text.count("\n")
        if self.max_duplicate_line_chars is not None:
            share = duplicates(lines)[1] / (len(text) - newlines)
            yield Measurement("duplicate_line_chars", share, self.max_duplicate_line_chars, "max")
        if self.max_newlines is not None:
            words = len(words_of(text, self.language))
            share = newlines / words if words else 0.0
            yield Measurement("too_many_newlines", share, self.max_newlines, "max")
