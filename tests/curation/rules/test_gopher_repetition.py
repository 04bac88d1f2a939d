import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.rules.gopher_repetition import GopherRepetition
from schemas.records import Document, Verdict

OFF = {
    "max_duplicate_paragraphs": None,
    "max_duplicate_paragraph_chars": None,
    "max_duplicate_lines": None,
    "max_duplicate_line_chars": None,
    "top_n_grams": (),
    "duplicate_n_grams": (),
}


def repeated(n: int, rest: int) -> str:
    """A run of n words of two letters, twice (4n characters of words), then words of `rest` characters in all."""
    run = " ".join(f"{chr(97 + i)}{chr(97 + i)}" for i in range(n))
    return f"{run} {run} " + "z" * rest


def share(n: int, rest: int) -> float:
    return 2 * n / len(repeated(n, rest))


# id -> (the only threshold on, text, reason)
CASES = {
    "empty": ({}, "", "empty"),
    "blank": ({}, " ", None),
    "paragraphs_below": ({"max_duplicate_paragraphs": 0.25}, "a\n\na\n\nb\n\nc\n\nd", None),
    "paragraphs_at": ({"max_duplicate_paragraphs": 0.25}, "\n\na\n\na\n\n\nb\n\nc", None),
    "paragraphs_above": ({"max_duplicate_paragraphs": 0.25}, "a\n\na\n\nb", "duplicate_paragraphs"),
    "paragraph_chars_below": ({"max_duplicate_paragraph_chars": 0.25}, "aa\n\naa\n\nb", None),
    "paragraph_chars_at": ({"max_duplicate_paragraph_chars": 0.25}, "aa\n\naa\n\n", None),
    "paragraph_chars_above": ({"max_duplicate_paragraph_chars": 0.25}, "aa\n\naa\n", "duplicate_paragraph_chars"),
    "lines_below": ({"max_duplicate_lines": 0.25}, "a\na\nb\nc\nd", None),
    "lines_at": ({"max_duplicate_lines": 0.25}, "a\na\nb\n\nc", None),
    "lines_above": ({"max_duplicate_lines": 0.25}, "a\na\nb", "duplicate_lines"),
    "line_chars_below": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nbbb", None),
    "line_chars_at": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nbb", None),
    "line_chars_above": ({"max_duplicate_line_chars": 0.25}, "aa\naa\nb", "duplicate_line_chars"),
    "top_2_below": ({"top_n_grams": ((2, 0.5),)}, "a b c a b dd", None),
    "top_2_at": ({"top_n_grams": ((2, 0.5),)}, "a b c a b d ", None),
    "top_2_above": ({"top_n_grams": ((2, 0.5),)}, "a b c a b d", "top_2_gram"),
    "top_2_of_two_words": ({"top_n_grams": ((2, 0.99),)}, "a b", "top_2_gram"),
    "top_2_of_one_word": ({"top_n_grams": ((2, 0.0),)}, "a", None),
    "top_2_first_of_equals": ({"top_n_grams": ((2, 0.25),)}, "a b c d eeeeeeeee", None),
    "top_3_at": ({"top_n_grams": ((3, 0.5),)}, "a b c d a b c eeeeeee", None),
    "top_3_above": ({"top_n_grams": ((3, 0.5),)}, "a b c d a b c eee", "top_3_gram"),
    "top_4_at": ({"top_n_grams": ((4, 0.5),)}, "a b c d e a b c d ffffffffff", None),
    "top_4_above": ({"top_n_grams": ((4, 0.5),)}, "a b c d e a b c d f", "top_4_gram"),
    "n_grams_of_other_bounds_are_equal": (
        {"duplicate_n_grams": ((5, 0.1),)},
        "ab c d e f a bc d e f",
        "duplicate_5_grams",
    ),
    "n_grams_overlap_themselves": ({"duplicate_n_grams": ((5, 0.34),)}, "a a a a a a a a a a", None),
}
for _n in range(5, 11):
    CASES[f"duplicate_{_n}_below"] = ({"duplicate_n_grams": ((_n, share(_n, 20)),)}, repeated(_n, 21), None)
    CASES[f"duplicate_{_n}_at"] = ({"duplicate_n_grams": ((_n, share(_n, 20)),)}, repeated(_n, 20), None)
    CASES[f"duplicate_{_n}_above"] = (
        {"duplicate_n_grams": ((_n, share(_n, 20)),)},
        repeated(_n, 19),
        f"duplicate_{_n}_grams",
    )


@pytest.mark.parametrize("case", CASES)
def test_reasons(case: str) -> None:
    threshold, text, reason = CASES[case]
    verdict = GopherRepetition(**(OFF | threshold))(Document(text=text))
    assert (verdict.reason if verdict else None) == reason


def test_every_reason_is_tested() -> None:
    assert {reason for _, _, reason in CASES.values()} - {None} == set(GopherRepetition.reasons)


def test_order_values_and_thresholds() -> None:
    text = "a b c d e\na b c d e\n\nf"  # 22 characters
    found = [
        (m.reason, round(m.value * len(text), 6), m.threshold) for m in GopherRepetition().measure(Document(text=text))
    ]
    assert found == [
        ("empty", 22 * 22, 1),
        ("duplicate_paragraphs", 0, 0.3),
        ("duplicate_paragraph_chars", 0, 0.2),
        ("duplicate_lines", round(22 / 3, 6), 0.3),
        ("duplicate_line_chars", 9, 0.2),
        ("top_2_gram", 6, 0.2),
        ("top_3_gram", 10, 0.18),
        ("top_4_gram", 14, 0.16),
        ("duplicate_5_grams", 5, 0.15),
        ("duplicate_6_grams", 0, 0.14),
        ("duplicate_7_grams", 0, 0.13),
        ("duplicate_8_grams", 0, 0.12),
        ("duplicate_9_grams", 0, 0.11),
        ("duplicate_10_grams", 0, 0.1),
    ]
    assert [m.reason for m in GopherRepetition(**OFF).measure(Document(text=text))] == ["empty"]


@pytest.mark.parametrize(("parameter", "n"), [("top_n_grams", 1), ("top_n_grams", 5), ("duplicate_n_grams", 11)])
def test_n_without_a_reason(parameter: str, n: int) -> None:
    with pytest.raises(ValueError, match=f"{parameter} has n = {n}"):
        GopherRepetition(**{parameter: ((n, 0.1),)})


def test_language_without_words() -> None:
    with pytest.raises(ValueError, match="'no label'"):
        GopherRepetition(language="no label")


@given(st.text() | st.text(alphabet="ab \n"))
def test_any_text_gets_an_answer(text: str) -> None:
    verdict = GopherRepetition()(Document(text=text))
    assert verdict is None or verdict.reason in GopherRepetition.reasons
    assert GopherRepetition(**OFF)(Document(text=text)) == (None if text else Verdict("empty", 0, 1))
