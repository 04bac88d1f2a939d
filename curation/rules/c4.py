"""Drops lines that are no prose, then documents with code, filler text or too little left."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from schemas.records import Document, Measurement
from schemas.stage import Rewrite
from text.sentences import count_sentences

__all__ = ["C4"]

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_TERMINAL = (".", "?", "!", '"', "'")


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one pass over the lines found."""

    kept: list[str]
    sentences: int
    filler: int
    """Lines with `lorem ipsum`."""
    brackets: int
    """Lines with `{`."""
    first: str
    """The reason that was met first, empty where none was."""


@dataclass(frozen=True, kw_only=True)
class C4(Rewrite):
    """C4's line and page rules (Raffel et al. 2020, arXiv 1910.10683, section 2.2) as FineWeb uses them.

    As datatrove 0.10.1's `C4QualityFilter(filter_no_terminal_punct=False)`. Each line is stripped; it goes where a word
    is longer than `max_word_length`, else it loses citation marks (`[1]`, `[edit]`, `[citation needed]`); it goes with
    fewer than `min_words_per_line` words, with "javascript", or with a phrase of `policy_phrases`. "lorem ipsum" or `{`
    in a line that has come so far drops the document, and so do fewer than `min_sentences` sentences in what is left.
    The document keeps its text where it is dropped.

    Deviations from the paper, all of them datatrove's: no list of bad words; lines without terminal punctuation stay
    unless `require_terminal` is set (FineWeb found the rule too costly).
    """

    reasons: ClassVar[tuple[str, ...]] = ("lorem_ipsum", "curly_bracket", "too_few_sentences")
    max_word_length: int | None = 1000
    """Characters."""
    remove_citations: bool = True
    require_terminal: bool = False
    """Drops lines that don't end in one of `. ? ! " '`, and those that end in `...`."""
    min_words_per_line: int | None = 3
    drop_lorem_ipsum: bool = True
    drop_javascript_lines: bool = True
    drop_curly_bracket: bool = True
    policy_phrases: tuple[str, ...] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """In lower case; a line that holds one goes."""
    min_sentences: int | None = 5

    def rewrite(self, doc: Document) -> tuple[Document, tuple[Measurement, ...]]:
        """The document with the lines that stay, and its measurements; of two defects the first in the text leads."""
        scan = self._scan(doc.text)
        found = []
        if self.drop_lorem_ipsum:
            found.append(Measurement("lorem_ipsum", scan.filler, 0.0, "max"))
        if self.drop_curly_bracket:
            found.append(Measurement("curly_bracket", scan.brackets, 0.0, "max"))
        found.sort(key=lambda m: m.reason != scan.first)
        if self.min_sentences is not None:
            found.append(Measurement("too_few_sentences", scan.sentences, self.min_sentences, "min"))
        if any(m.failed for m in found):
            return doc, tuple(found)
        text = "\n".join(scan.kept).strip()
        return (doc if text == doc.text else replace(doc, text=text)), tuple(found)

    def _scan(self, text: str) -> _Scan:
        kept: list[str] = []
        sentences = filler = brackets = 0
        first = ""
        for line in self._readable(text):
            lowered = line.lower()
            if self.drop_lorem_ipsum and "lorem ipsum" in lowered:
                filler += 1
                first = first or "lorem_ipsum"
            elif self.drop_javascript_lines and "javascript" in lowered:
                continue
            elif self.drop_curly_bracket and "{" in line:
                brackets += 1
                first = first or "curly_bracket"
            elif not any(phrase in lowered for phrase in self.policy_phrases):
                sentences += count_sentences(line) if self.min_sentences is not None else 0
                kept.append(line)
        return _Scan(kept, sentences, filler, brackets, first)

    def _readable(self, text: str) -> Iterator[str]:
        """Lines of enough words, none of them too long, without their citation marks."""
        for line in text.splitlines():
            line = line.strip()
            words = line.split()
            if self.max_word_length is not None and any(len(word) > self.max_word_length for word in words):
                continue
            if self.remove_citations:
                line = _CITATION.sub("", line)
            if self.require_terminal and (not line.endswith(_TERMINAL) or line.endswith("...")):
                continue
            if self.min_words_per_line is None or len(words) >= self.min_words_per_line:
                yield line
