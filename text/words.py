"""Word segmentation by language: which segmenter FineWeb-2's labels mean, and how far it is the reference's own."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from text import english, korean, unicode_words

__all__ = ["UNICODE", "Segmenter", "segmenter"]

UNICODE = "unicode"
"""The label under which a recipe chooses the Unicode segmenter whatever the language."""

_LABEL = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,8})*")
# datatrove's table of segmenters gives its English one to four neighbours of English, too.
_ENGLISH = frozenset({"", "en", "eng", "eng_Latn", "frr_Latn", "fry_Latn", "sco_Latn", "stq_Latn"})
_KOREAN = frozenset({"ko", "kor", "kor_Hang"})


class Segmenter(Protocol):
    """Cuts texts of one language into words. Implementations hold no state, so they pickle as their names."""

    @property
    def name(self) -> str:
        """A short name: `english`, `kiwi`, `unicode`."""

    @property
    def deviation(self) -> str:
        """How its words depart from the reference's, in words for the manifest and the report; `""` = they don't."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose versions decide the words, besides our own code."""

    def load(self) -> None:
        """Loads what is heavy now, not at the first text: a process that limits its memory does so before."""

    def words(self, text: str) -> list[str]:
        """Returns the words of `text`, marks included; none is empty or begins or ends with white space."""


@dataclass(frozen=True, kw_only=True)
class _English:
    name: str = "english"
    deviation: str = ""
    libraries: tuple[str, ...] = ()

    def load(self) -> None:
        english.words("")

    def words(self, text: str) -> list[str]:
        return english.words(text)


@dataclass(frozen=True, kw_only=True)
class _Kiwi:
    name: str = "kiwi"
    deviation: str = ""
    libraries: tuple[str, ...] = ("kiwipiepy", "kiwipiepy_model")

    def load(self) -> None:
        korean.load()

    def words(self, text: str) -> list[str]:
        return korean.words(text)


@dataclass(frozen=True, kw_only=True)
class _Unicode:
    name: str = UNICODE
    deviation: str = (
        "words are runs of Unicode letters (single characters in scripts without spaces), not those of the language's "
        "own segmenter in FineWeb-2"
    )
    libraries: tuple[str, ...] = ("regex",)

    def load(self) -> None:
        unicode_words.words("")

    def words(self, text: str) -> list[str]:
        return unicode_words.words(text)


@cache
def segmenter(language: str) -> Segmenter:
    """Returns the segmenter for a FineWeb-2 label such as `eng_Latn` or `kor_Hang`; `""` means English.

    Bare codes (`en`, `kor`) mean the same as their labels; `"unicode"` is the Unicode segmenter for any language, which
    is also what languages get that have no better one here. Korean never falls back to it by itself.

    Raises:
        ValueError: `language` doesn't look like a label.
        ImportError: Korean, and kiwipiepy is missing or too new. Raised here, before the first text.
    """
    if language in _ENGLISH:
        return _English()
    if language in _KOREAN:
        korean.require()
        return _Kiwi()
    if language == UNICODE or _LABEL.fullmatch(language):
        return _Unicode()
    raise ValueError(
        f"no words for the language {language!r}: give a label of FineWeb-2 such as 'eng_Latn' or 'kor_Hang', "
        f"or {UNICODE!r} for letter runs in any language"
    )
