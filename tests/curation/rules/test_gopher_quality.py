import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.rules.gopher_quality import GopherQuality
from schemas.records import Document, Verdict
from text.punctuation import SYMBOLS

OFF = {
    "min_words": None,
    "max_words": None,
    "min_mean_word_length": None,
    "max_mean_word_length": None,
    "max_hashes": None,
    "max_ellipses": None,
    "max_bullet_lines": None,
    "max_ellipsis_lines": None,
    "min_alphabetic_words": None,
    "min_stop_words": None,
}

# id -> (the only threshold on, text, reason)
CASES = {
    "empty": ({"min_words": 1}, "", "too_few_words"),
    "few_below": ({"min_words": 3}, "a b", "too_few_words"),
    "few_at": ({"min_words": 3}, "a b c", None),
    "few_above": ({"min_words": 3}, "a b c d", None),
    "symbols_are_no_words": ({"min_words": 3}, "a b , . -- ?!", "too_few_words"),
    "many_below": ({"max_words": 3}, "a b", None),
    "many_at": ({"max_words": 3}, "a b c", None),
    "many_above": ({"max_words": 3}, "a b c d", "too_many_words"),
    "symbols_do_not_make_many": ({"max_words": 1}, "a , .", None),
    "short_below": ({"min_mean_word_length": 2}, "aaa aa a a", "words_too_short"),
    "short_at": ({"min_mean_word_length": 2}, "aaa aa a", None),
    "short_above": ({"min_mean_word_length": 2}, "aaa aa", None),
    "symbols_do_not_make_short": ({"min_mean_word_length": 2}, "aa . . .", None),
    "long_below": ({"max_mean_word_length": 2}, "aa a", None),
    "long_at": ({"max_mean_word_length": 2}, "aaa a", None),
    "long_above": ({"max_mean_word_length": 2}, "aaa aa", "words_too_long"),
    "hashes_below": ({"max_hashes": 0.25}, "# a b c d", None),
    "hashes_at": ({"max_hashes": 0.25}, "# a b c", None),
    "hashes_above": ({"max_hashes": 0.25}, "# a b", "too_many_hashes"),
    "ellipses_below": ({"max_ellipses": 0.25}, "... a b c d", None),
    "ellipses_at": ({"max_ellipses": 0.25}, "… a b c", None),
    "ellipses_above": ({"max_ellipses": 0.25}, "... … a b c d", "too_many_ellipses"),
    "bullets_below": ({"max_bullet_lines": 0.5}, "- a\nb\nc", None),
    "bullets_at": ({"max_bullet_lines": 0.5}, " • a\nb", None),
    "bullets_above": ({"max_bullet_lines": 0.5}, "- a\n•b\nc", "too_many_bullet_lines"),
    "ellipsis_lines_below": ({"max_ellipsis_lines": 0.5}, "a...\nb\nc", None),
    "ellipsis_lines_at": ({"max_ellipsis_lines": 0.5}, "a… \nb", None),
    "ellipsis_lines_above": ({"max_ellipsis_lines": 0.5}, "a...\nb…\nc", "too_many_ellipsis_lines"),
    "alphabetic_below": ({"min_alphabetic_words": 0.5}, "a 1 2", "too_few_alphabetic_words"),
    "alphabetic_at": ({"min_alphabetic_words": 0.5}, "a1 2", None),
    "alphabetic_above": ({"min_alphabetic_words": 0.5}, "a b 2", None),
    "symbols_are_not_alphabetic": ({"min_alphabetic_words": 0.5}, "a . .", "too_few_alphabetic_words"),
    "stop_words_below": ({"min_stop_words": 2}, "the the The", "too_few_stop_words"),
    "stop_words_at": ({"min_stop_words": 2}, "the of", None),
    "stop_words_above": ({"min_stop_words": 2}, "the of and", None),
}


@pytest.mark.parametrize("case", CASES)
def test_reasons(case: str) -> None:
    threshold, text, reason = CASES[case]
    verdict = GopherQuality(**(OFF | threshold))(Document(text=text))
    assert (verdict.reason if verdict else None) == reason


def test_every_reason_is_tested() -> None:
    assert {reason for _, _, reason in CASES.values()} - {None} == set(GopherQuality.reasons)


def test_order_values_and_thresholds() -> None:
    text = "the # of...\n- 12"
    assert [(m.reason, m.value, m.threshold) for m in GopherQuality().measure(Document(text=text))] == [
        ("too_few_words", 3, 50),
        ("too_many_words", 3, 100_000),
        ("words_too_short", 7 / 3, 3),
        ("words_too_long", 7 / 3, 10),
        ("too_many_hashes", 1 / 6, 0.1),
        ("too_many_ellipses", 1 / 6, 0.1),
        ("too_many_bullet_lines", 0.5, 0.9),
        ("too_many_ellipsis_lines", 0.5, 0.3),
        ("too_few_alphabetic_words", 2 / 6, 0.8),
        ("too_few_stop_words", 2, 2),
    ]
    assert list(GopherQuality(**OFF).measure(Document(text=text))) == []


def test_words_of_a_language() -> None:
    chinese = GopherQuality(language="cmn_Hani", stop_words=("的", "是"), **(OFF | {"min_stop_words": 2}))
    assert chinese(Document(text="我的是")) is None
    assert chinese(Document(text="我的")) == Verdict("too_few_stop_words", 1, 2)
    assert chinese.libraries() == ("regex",)
    assert GopherQuality().libraries() == ()


def test_no_symbol_is_a_letter() -> None:
    assert [character for character in SYMBOLS if character.isalpha()] == []


def test_language_without_words() -> None:
    with pytest.raises(ValueError, match="'no label'"):
        GopherQuality(language="no label")


@given(st.text() | st.text(alphabet="a.#-…1\n "))
def test_any_text_gets_an_answer(text: str) -> None:
    for rule in (GopherQuality(), GopherQuality(min_words=None), GopherQuality(**OFF)):
        verdict = rule(Document(text=text))
        assert verdict is None or verdict.reason in GopherQuality.reasons
    assert len(list(GopherQuality().measure(Document(text=text)))) == len(GopherQuality.reasons)
