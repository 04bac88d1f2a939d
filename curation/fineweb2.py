"""FineWeb-2's published numbers: what its rules take for each of 1,929 languages and scripts.

Source: the configurations of github.com/huggingface/fineweb-2 (Penedo et al. 2025, arXiv 2506.20920), as figures in a
table of our own (`curation.fineweb2_table`).
"""

import difflib
import functools
from dataclasses import dataclass
from typing import Any

__all__ = ["ENGLISH", "LanguageThresholds", "UnknownLanguageError", "labels", "stage_defaults", "thresholds"]

ENGLISH = "eng_Latn"
TOP_N_GRAMS = (2, 3, 4)
DUPLICATE_N_GRAMS = (5, 6, 7, 8, 9, 10)


class UnknownLanguageError(ValueError):
    """No numbers were published for a label."""


@dataclass(frozen=True, slots=True)
class LanguageThresholds:
    """A language's numbers, under our rules' names. None: FineWeb-2 has that rule off for the language."""

    label: str
    """ISO 639-3 code and ISO 15924 script, `kor_Hang`."""
    min_score: float
    """Of GlotLID's probability; at least that much stays."""
    max_duplicate_lines: float | None
    top_n_grams: tuple[tuple[int, float], ...]
    duplicate_n_grams: tuple[tuple[int, float], ...]
    min_terminal_lines: float | None
    max_newlines: float
    min_mean_word_length: float
    max_mean_word_length: float
    min_alphabetic_words: float
    stop_words: tuple[str, ...]


def thresholds(label: str) -> LanguageThresholds:
    """The numbers of a language.

    Raises:
      UnknownLanguageError: none were published; it names labels that look alike.
    """
    row = _rows().get(label)
    if row is None:
        raise UnknownLanguageError(_unknown(label))
    return LanguageThresholds(
        **{
            **row,
            "top_n_grams": tuple(zip(TOP_N_GRAMS, row["top_n_grams"], strict=True)),
            "duplicate_n_grams": tuple(zip(DUPLICATE_N_GRAMS, row["duplicate_n_grams"], strict=True)),
            "stop_words": tuple(row["stop_words"]),
        }
    )


def labels() -> tuple[str, ...]:
    """All labels with numbers, sorted."""
    return tuple(_rows())


def stage_defaults(label: str) -> dict[str, dict[str, Any]]:
    """Parameters that FineWeb-2 sets by language: stage name -> parameter -> value.

    What it sets alike for all languages (paragraph rules and the like off) stands in pipelines.yaml.

    Raises:
      UnknownLanguageError: see `thresholds`.
    """
    t = thresholds(label)
    return {
        "language": {"min_score": t.min_score},
        "minhash": {"language": label},
        "gopher_repetition": {
            "language": label,
            "max_duplicate_lines": t.max_duplicate_lines,
            "top_n_grams": t.top_n_grams,
            "duplicate_n_grams": t.duplicate_n_grams,
        },
        "fineweb": {
            "language": label,
            "min_terminal_lines": t.min_terminal_lines,
            "max_newlines": t.max_newlines,
        },
        "gopher_quality": {
            "language": label,
            "min_mean_word_length": t.min_mean_word_length,
            "max_mean_word_length": t.max_mean_word_length,
            "min_alphabetic_words": t.min_alphabetic_words,
            "stop_words": t.stop_words,
        },
    }


@functools.cache
def _rows() -> dict[str, dict[str, Any]]:
    from curation.fineweb2_table import rows  # with pyarrow, which a child that asks for no numbers does without

    return {row["label"]: row for row in rows()}


def _unknown(label: str) -> str:
    if label == ENGLISH:
        return (
            f"FineWeb-2 has no numbers for {label!r}: it covers every language but English; "
            f"use the pipeline `fineweb` for English"
        )
    code = label.partition("_")[0]
    same = [known for known in labels() if known.partition("_")[0] == code]
    near = [*same, *(m for m in difflib.get_close_matches(label, labels(), n=5, cutoff=0.6) if m not in same)]
    form = "a label is an ISO 639-3 code, `_` and an ISO 15924 script, such as kor_Hang"
    hint = f"near it are {', '.join(near)}" if near else form
    return f"FineWeb-2 has no numbers for the language {label!r}; {hint}"
