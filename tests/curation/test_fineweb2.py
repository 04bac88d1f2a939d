import gzip
import json
from pathlib import Path

import pytest

from curation import fineweb2

SOURCE = Path(__file__).parents[3] / "shared" / "data" / "fineweb2_thresholds.jsonl.gz"


def test_korean() -> None:
    korean = fineweb2.thresholds("kor_Hang")
    assert (korean.min_score, korean.max_duplicate_lines, korean.min_terminal_lines) == (0.842, 0.374, 0.062)
    assert korean.top_n_grams == ((2, 0.282), (3, 0.228), (4, 0.185))
    assert korean.duplicate_n_grams == ((5, 0.201), (6, 0.184), (7, 0.168), (8, 0.154), (9, 0.14), (10, 0.127))
    assert (korean.min_mean_word_length, korean.max_mean_word_length) == (1, 6)
    assert (korean.min_alphabetic_words, korean.max_newlines) == (0.791, 0.196)
    assert korean.stop_words[:3] == ("의", "다", "이")


def test_stage_defaults() -> None:
    defaults = fineweb2.stage_defaults("kor_Hang")
    assert list(defaults) == ["language", "minhash", "gopher_repetition", "fineweb", "gopher_quality"]
    assert defaults["language"] == {"min_score": 0.842}
    assert defaults["fineweb"] == {"language": "kor_Hang", "min_terminal_lines": 0.062, "max_newlines": 0.196}
    assert all(values.get("language", "kor_Hang") == "kor_Hang" for values in defaults.values())


def test_rules_that_a_language_has_off() -> None:
    assert fineweb2.thresholds("aai_Latn").min_terminal_lines is None
    off = [label for label in fineweb2.labels() if fineweb2.thresholds(label).max_duplicate_lines is None]
    assert len(off) == 6


def test_labels() -> None:
    labels = fineweb2.labels()
    assert len(labels) == len(set(labels)) == 1929
    assert list(labels) == sorted(labels)
    assert all(fineweb2.thresholds(label).stop_words for label in labels)


UNKNOWN = {
    "eng_Latn": "every language but English; use the pipeline `fineweb`",
    "kor": "near it are kor_Hang",
    "kor_Latn": "near it are kor_Hang",
    "Kor_Hang": "near it are kor_Hang",
    "": "''; a label is an ISO 639-3 code",
    "zzzzzzzzzz": "'zzzzzzzzzz'; a label is",
}


@pytest.mark.parametrize("label", UNKNOWN)
def test_unknown_labels(label: str) -> None:
    with pytest.raises(fineweb2.UnknownLanguageError, match=UNKNOWN[label]):
        fineweb2.stage_defaults(label)


@pytest.mark.skipif(not SOURCE.exists(), reason="the published figures are not at hand")
def test_equal_to_the_published_figures() -> None:
    published = [json.loads(line) for line in gzip.decompress(SOURCE.read_bytes()).splitlines()]
    for row in published:
        ours = fineweb2.thresholds(row["language"])
        assert ours.min_score == row["language_score"]
        assert (ours.max_duplicate_lines or 0) == row["dup_line_frac"]
        assert [list(pair) for pair in ours.top_n_grams] == row["top_n_grams"]
        assert [list(pair) for pair in ours.duplicate_n_grams] == row["dup_n_grams"]
        assert (ours.min_terminal_lines or 0) == max(row["line_punct_thr"], 0)
        assert ours.max_newlines == row["new_line_ratio"]
        assert ours.min_mean_word_length == row["min_avg_word_length"]
        assert ours.max_mean_word_length == row["max_avg_word_length"]
        assert ours.min_alphabetic_words == row["max_non_alpha_words_ratio"]
        assert list(ours.stop_words) == row["stopwords"]
    assert len(published) == len(fineweb2.labels())
