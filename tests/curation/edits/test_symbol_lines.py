import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.edits.symbol_lines import SymbolLines
from schemas.records import Document

CASES = {
    "empty": ("", ""),
    "plain": ("a\nb", "a\nb"),
    "symbol": ("a\n|\nb", "a\n\n\nb"),
    "symbols_and_blanks": ("a\n | || \nb", "a\n\n\nb"),
    "run": ("a\n|\n||\n|\nb", "a\n\n\nb"),
    "two_runs": ("|\na\n|", "\n\na\n\n"),
    "blank_lines_stay": ("a\n  \n\nb", "a\n  \n\nb"),
    "blank_line_ends_a_run": ("|\n\n|", "\n\n\n\n"),
    "tab_is_no_blank": ("a\n|\t|\nb", "a\n|\t|\nb"),
    "symbol_beside_text": ("|a|", "|a|"),
    "line_ends_become_newlines": ("a\r\nb\x85c\n", "a\nb\nc"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    text, expected = CASES[case]
    assert SymbolLines().edit(Document(text=text)) == Document(text=expected)


def test_parameters() -> None:
    assert SymbolLines(symbols="|-", replacement="").edit(Document(text="a\n|-|\nb")).text == "a\nb"
    assert SymbolLines(replacement="~").edit(Document(text="a\n|\n|\nb")).text == "a\n~\nb"


def test_untouched_documents_are_returned_as_they_are() -> None:
    doc = Document(text="a\nb", id="1")
    assert SymbolLines().edit(doc) is doc


@given(st.text(alphabet="|a \n\t"))
def test_any_text_gets_an_answer(text: str) -> None:
    edited = SymbolLines(replacement="").edit(Document(text=text)).text
    assert edited.count("a") == text.count("a")
    assert SymbolLines(replacement="").edit(Document(text=edited)).text == "\n".join(edited.splitlines())
