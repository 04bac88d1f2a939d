import gzip
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text.sentences import count_sentences, sentences

SHARED = Path(__file__).parents[2].parent / "shared"

CASES = {
    "empty": ("", [""]),
    "white_space": ("  ", ["  "]),
    "no_mark": ("no end", ["no end"]),
    "one": ("One.", ["One."]),
    "two": ("One. Two!", ["One.", " Two!"]),
    "marks_belong_to_the_end": ('"One?!" (Two.) Three', ['"One?!" (', "Two.)", " Three"]),
    "abbreviation": ("Mr. Doe is here. He waits.", ["Mr. Doe is here.", " He waits."]),
    "ellipsis_ends_none": ("Well... so. Yes", ["Well... so.", " Yes"]),
    "stop_in_a_word": ("example.org is. It", ["example.org is.", " It"]),
    "other_scripts": ("다.한 है। और", ["다.", "한 है।", " और"]),
    "trailing_space": ("One. ", ["One. "]),
    "white_space_is_a_sentence": ("One.  ", ["One.", "  "]),
    "white_space_begins_one": ("One.\n\nTwo", ["One.", "\n\nTwo"]),
    "symbol_begins_one": ("One. + two", ["One.", " + two"]),
    "mark_only_begins_none": ("One. - two", ["One. -", " two"]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected
    assert count_sentences(text) == len(expected)


@pytest.fixture(scope="module")
def reference() -> Callable[[str], list[str]]:
    spacy = pytest.importorskip("spacy", reason="spaCy is the oracle of English sentences; it is in the extra `dev`")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.max_length = 10_000_000

    def cut(text: str) -> list[str]:
        with nlp.memory_zone():
            ends = [sentence.end_char for sentence in nlp(text).sents] if text else []
        cuts = [0, *ends[:-1], len(text)]
        return [text[a:b] for a, b in pairwise(cuts)]

    return cut


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()], ids=CASES)
def test_cases_equal_spacy(text: str, reference: Callable[[str], list[str]]) -> None:
    assert sentences(text) == reference(text)


hostile = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["One", "two", ".", "!", "?", "...", "…", "。", "।", "‽", " ", "  ", "\n", ")", '"', "-", "+", "$"]
        ),
        max_size=24,
    ).map("".join),
)


@settings(max_examples=500, deadline=None)
@given(hostile)
def test_any_text_equals_spacy(reference: Callable[[str], list[str]], text: str) -> None:
    assert sentences(text) == reference(text)
    assert count_sentences(text) == len(reference(text))


def test_real_lines_equal_spacy(reference: Callable[[str], list[str]]) -> None:
    path = SHARED / "data/realweb/fineweb_verdicts.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no real pages here: {path.name}")
    with gzip.open(path) as rows:
        texts = [text for text in (json.loads(row)["text"] for row in rows) if text]
    for line in "\n".join(texts[::40]).splitlines():
        assert sentences(line) == reference(line)
