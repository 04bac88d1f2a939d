"""Stages by each document's own language, for pipelines with `language: each`.

English documents meet the stage as the recipe has it (FineWeb's numbers), others the numbers that FineWeb-2 publishes
for their language and script; a language without any meets the recipe's, on Unicode words.
"""

import dataclasses
import functools

from curation import fineweb2
from schemas.stage import Stage
from text.words import UNICODE, segmenter

EACH = "each"
"""A pipeline's `language` that means every document's own."""

ENGLISH = ("", "en", "eng_Latn")
KOREAN = "kor_Hang"


ALIKE: dict[str, dict[str, float | None]] = {
    "gopher_repetition": {
        "max_duplicate_paragraphs": None,
        "max_duplicate_paragraph_chars": None,
        "max_duplicate_line_chars": None,
    },
    "fineweb": {"max_short_lines": None, "max_duplicate_line_chars": 0.1},
}
"""What FineWeb-2 sets for all its languages alike, as the pipeline `fineweb2` does."""


def depends(name: str) -> bool:
    """Whether FineWeb-2 has numbers by language for a stage that judges text."""
    return "language" in fineweb2.stage_defaults(KOREAN).get(name, {})


def require() -> None:
    """Says before a run that a segmenter is missing, not at its first Korean page.

    Raises:
      ImportError: kiwipiepy is not installed.
    """
    segmenter(KOREAN)


def load_words(stage: Stage, *, each: bool) -> None:
    """Loads the segmenter that a stage will ask for, and FineWeb-2's numbers where each language has its own.

    What the child may use in memory is counted from there.
    """
    if each:
        fineweb2.labels()
    language = KOREAN if each else getattr(stage, "language", None)
    if isinstance(language, str):
        segmenter(language).load()


@functools.lru_cache(maxsize=8192)
def variant(name: str, stage: Stage, language: str) -> Stage:
    """The stage for documents of a language.

    Args:
      name: the stage's registry name.
      stage: as it is for English, ready for use.
      language: a FineWeb-2 label.
    """
    if language in ENGLISH:
        return stage
    try:
        values = {**ALIKE.get(name, {}), **fineweb2.stage_defaults(language)[name]}
    except fineweb2.UnknownLanguageError:
        values = {"language": UNICODE}
    return dataclasses.replace(stage, **values)  # type: ignore[type-var]
