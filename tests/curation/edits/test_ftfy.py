import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.edits.ftfy import Ftfy
from schemas.records import Document

CASES = {
    "empty": ("", ""),
    "plain": ("caf\u00e9 한국어", "caf\u00e9 한국어"),
    "mojibake": ("cafÃ© â€œsoâ€\x9d", "café “so”"),
    "entity": ("a &amp; b", "a & b"),
    "entity_in_markup": ("<b>a &amp; b</b>", "<b>a &amp; b</b>"),
    "terminal_escape": ("\x1b[36;44mblue", "blue"),
    "control": ("a\x00b", "ab"),
    "curly_quotes_stay": ("“a” ‘b’", "“a” ‘b’"),
    "widths_stay": ("ＡＢ１", "ＡＢ１"),
    "ligatures_stay": ("ﬁn", "ﬁn"),
    "line_ends_stay": ("a\r\nb\u2028c", "a\r\nb\u2028c"),
    "decomposed_stays": ("e\u0301", "e\u0301"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    text, expected = CASES[case]
    assert Ftfy().edit(Document(text=text)) == Document(text=expected)


def test_parameters() -> None:
    assert Ftfy(uncurl_quotes=True, normalization="NFC").edit(Document(text="“e\u0301”")).text == '"é"'
    assert Ftfy(unescape_html="never").edit(Document(text="a &amp; b")).text == "a &amp; b"
    assert Ftfy(unescape_html="always").edit(Document(text="<b>&amp;")).text == "<b>&"


def test_untouched_documents_are_returned_as_they_are() -> None:
    doc = Document(text="a", id="1")
    assert Ftfy().edit(doc) is doc
    assert Ftfy().libraries() == ("ftfy",)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(Ftfy().edit(Document(text=text)).text, str)
