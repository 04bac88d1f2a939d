import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.rules.fineweb import FineWeb
from schemas.records import Document, Verdict

LONG = "a line of more than thirty characters"
OFF = {
    "min_terminal_lines": None,
    "max_short_lines": None,
    "max_duplicate_line_chars": None,
    "max_newlines": None,
}


def lines(*counts: tuple[int, str]) -> str:
    """So many lines of each text, made different by a number at their head."""
    flat = [text for count, text in counts for _ in range(count)]
    return "\n".join(f"{number:02} {text}" for number, text in enumerate(flat))


# id -> (the only threshold on, text, reason)
CASES = {
    "empty": ({}, "", "empty"),
    "blank": ({}, " \n\t\n", "empty"),
    "not_blank": ({}, "a", None),
    "terminal_below": ({"min_terminal_lines": 0.25}, lines((1, "a."), (4, "a")), "too_few_terminal_lines"),
    "terminal_at": ({"min_terminal_lines": 0.25}, lines((1, "a."), (3, "a")), None),
    "terminal_above": ({"min_terminal_lines": 0.25}, lines((1, "a."), (2, "a")), None),
    "terminal_blank_lines_do_not_count": ({"min_terminal_lines": 0.5}, "a.\n \n\na", None),
    "terminal_of_other_scripts": ({"min_terminal_lines": 1}, "好。\nठीक।", None),
    "quote_is_not_terminal": ({"min_terminal_lines": 1}, 'a."', "too_few_terminal_lines"),
    "blank_behind_the_mark": ({"min_terminal_lines": 1}, "a. ", "too_few_terminal_lines"),
    "short_below": ({"max_short_lines": 0.5}, lines((1, "a"), (2, LONG)), None),
    "short_at": ({"max_short_lines": 0.5}, lines((1, "a"), (1, LONG)), None),
    "short_above": ({"max_short_lines": 0.5}, lines((2, "a"), (1, LONG)), "too_many_short_lines"),
    "thirty_characters_are_short": ({"max_short_lines": 0}, "x" * 30, "too_many_short_lines"),
    "thirty_one_are_not": ({"max_short_lines": 0}, "x" * 31, None),
    "duplicate_below": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nbbbbb", None),
    "duplicate_at": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nbbbb", None),
    "duplicate_above": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nbbb", "duplicate_line_chars"),
    "newlines_below": ({"max_newlines": 0.5}, "a b\nc", None),
    "newlines_at": ({"max_newlines": 0.5}, "a\nb", None),
    "newlines_above": ({"max_newlines": 0.5}, "a\nb\n", "too_many_newlines"),
}


@pytest.mark.parametrize("case", CASES)
def test_reasons(case: str) -> None:
    threshold, text, reason = CASES[case]
    verdict = FineWeb(**(OFF | threshold))(Document(text=text))
    assert (verdict.reason if verdict else None) == reason


def test_every_reason_is_tested() -> None:
    assert {reason for _, _, reason in CASES.values()} - {None} == set(FineWeb.reasons)


def test_order_values_and_thresholds() -> None:
    text = "a\na\na\nbb"
    assert [(m.reason, m.value, m.threshold) for m in FineWeb().measure(Document(text=text))] == [
        ("empty", 4, 1),
        ("too_few_terminal_lines", 0, 0.12),
        ("too_many_short_lines", 1, 0.67),
        ("duplicate_line_chars", 0.4, 0.01),
        ("too_many_newlines", 0.75, 0.3),
    ]
    assert FineWeb()(Document(text=text)) == Verdict("too_few_terminal_lines", 0, 0.12)
    assert [m.reason for m in FineWeb(**OFF).measure(Document(text=text))] == ["empty"]


def test_words_are_those_of_the_language() -> None:
    doc = Document(text="不知道\n不")
    assert FineWeb(language="cmn_Hani", **(OFF | {"max_newlines": 0.25}))(doc) is None  # 4 words
    assert FineWeb(**(OFF | {"max_newlines": 0.25}))(doc) == Verdict("too_many_newlines", 0.5, 0.25)  # 2 words
    assert FineWeb().deviations() == ()
    assert len(FineWeb(language="cmn_Hani").deviations()) == 1


def test_language_without_words() -> None:
    with pytest.raises(ValueError, match="'no label'"):
        FineWeb(language="no label")


@given(st.text() | st.text(alphabet="a.\n "))
def test_any_text_gets_an_answer(text: str) -> None:
    verdict = FineWeb()(Document(text=text))
    assert verdict is None or verdict.reason in FineWeb.reasons
    assert FineWeb(**OFF)(Document(text=text)) == (None if text.strip() else Verdict("empty", 0, 1))
