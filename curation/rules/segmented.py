"""The words of the document at hand, segmented once for all rules that count them."""

import functools

from text.words import segmenter

__all__ = ["require_segmenter", "segmenter_deviations", "segmenter_libraries", "words_of"]


@functools.lru_cache(maxsize=1)
def words_of(text: str, language: str) -> tuple[str, ...]:
    """Words of `text` by the segmenter of `language` (a FineWeb-2 label; empty: English).

    Rules are called one after the other on one document, so the last answer is remembered, and only that: memory stays
    bounded by one document. Threads that judge documents side by side lose the saving, never the answer.
    """
    return tuple(segmenter(language).words(text))


def require_segmenter(language: str) -> None:
    """Says early that a language can't be segmented.

    Raises:
      ValueError: it is no label.
      ImportError: its segmenter is not installed.
    """
    segmenter(language)


def segmenter_libraries(language: str) -> tuple[str, ...]:
    """Distributions whose versions decide the words of a language."""
    return segmenter(language).libraries


def segmenter_deviations(language: str) -> tuple[str, ...]:
    """How the words of a language depart from those that FineWeb-2's numbers were made for; none where they don't."""
    deviation = segmenter(language).deviation
    return (f"{language}: {deviation}",) if deviation else ()
