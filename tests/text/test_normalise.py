import re
import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from text.normalise import normalise
from text.punctuation import PUNCTUATION

CASES = {
    "empty": ("", ""),
    "lower": ("Grist MILL", "grist mill"),
    "number": ("in 1999", "in 0"),
    "decimal": ("3.14 2,5 1٫5", "0 0 0"),
    "one_decimal_part_a_number": ("1.2.3", "0 0"),
    "digits_of_any_script": ("٣٤ ४५", "0 0"),
    "punctuation_splits": ("well-known (fact)", "well known fact"),
    "marks_outside_the_table_stay": ("5 € · ok", "0 € · ok"),
    "controls": ("a\x00b\x7fc\x9fd", "a b c d"),
    "white_space": (" a\t\n b\u3000\u00a0c ", "a b c"),
    "diacritics": ("Crème Brûlée Ångström", "creme brulee angstrom"),
    "hangul_decomposes": ("한", "\u1112\u1161\u11ab"),
    "lone_mark": ("a \u0301 b", "a  b"),
    "lone_mark_first": ("\u0301 a", "a"),
    "many_marks": ("a" + "".join(map(chr, range(0x300, 0x340))) + "b", "ab"),
    "enclosing_marks_stay": ("a\u20dd", "a\u20dd"),
}


def slowly(text: str) -> str:
    """The same, step by step and character by character."""
    text = regex.sub(r"\p{Nd}+([.,،٫⎖⎗⎘]\p{Nd}+)?", "0", text.lower())
    text = "".join(" " if char in PUNCTUATION else char for char in text)
    text = re.sub(r"\s+", " ", text.strip())
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").strip()


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert slowly(text) == expected


pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["1.5", "٣٫٤", "\u0301", "é", "İ", "ß", "\x1c", "\u2028", "한글", "—", "１", "ǆ", "ﬁ", " ", "\n"]),
)


@settings(deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
def test_normalise_equals_the_slow_form(text: str) -> None:
    assert normalise(text) == slowly(text)


@settings(deadline=None)
@given(st.text())
def test_normalised_words_hold_no_punctuation(text: str) -> None:
    # NFD can bring a mark back: a Greek question mark is a semicolon then, a struck-out equals sign an equals sign
    brought = set(unicodedata.normalize("NFD", text.lower())) - set(text.lower())
    assert not (set(normalise(text)) & PUNCTUATION) - brought
