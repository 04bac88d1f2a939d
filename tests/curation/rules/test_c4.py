import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.rules.c4 import C4
from schemas.records import Document, Measurement, Verdict

PROSE = "One is here. Two is here. Three is here. Four is here."  # 4 sentences
FIVE = f"{PROSE} Five is here."

# id -> (parameters, text, text after the edit, reason)
CASES = {
    "empty": ({}, "", "", "too_few_sentences"),
    "sentences_below": ({}, PROSE, PROSE, "too_few_sentences"),
    "sentences_at": ({}, FIVE, FIVE, None),
    "sentences_above": ({}, f"{FIVE} Six.", f"{FIVE} Six.", None),
    "sentences_of_all_lines": ({}, f"{PROSE}\nand one more", f"{PROSE}\nand one more", None),
    "lorem_ipsum": ({}, f"{FIVE}\nthen Lorem Ipsum dolor", "", "lorem_ipsum"),
    "lorem_ipsum_in_a_line_that_goes": ({}, f"{FIVE}\nlorem ipsum", FIVE, None),
    "curly_bracket": ({}, f"{FIVE}\nif (a) {{ b", "", "curly_bracket"),
    "curly_bracket_in_a_javascript_line": ({}, f"{FIVE}\njavascript if {{ b", FIVE, None),
    "bracket_before_lorem_ipsum": ({}, "a b { c\nlorem ipsum dolor", "", "curly_bracket"),
    "lorem_ipsum_before_bracket": ({}, "lorem ipsum {\na b { c", "", "lorem_ipsum"),
    "words_per_line_below": ({}, f"{FIVE}\ntwo words", FIVE, None),
    "words_per_line_at": ({}, f"{FIVE}\nthree words here", f"{FIVE}\nthree words here", None),
    "word_length_at": ({"max_word_length": 5}, f"{FIVE}\na b ccccc", f"{FIVE}\na b ccccc", None),
    "word_length_above": ({"max_word_length": 5}, f"{FIVE}\na b cccccc", FIVE, None),
    "javascript": ({}, f"{FIVE}\nplease enable JavaScript now", FIVE, None),
    "policy": ({}, f"{FIVE}\nsee our Privacy Policy page", FIVE, None),
    "citations": ({}, f"{FIVE}[1][][edit] [citation needed] [note]", f"{FIVE}  [note]", None),
    "citations_count_as_words": ({}, f"{FIVE}\ntwo [edit] [1] words", f"{FIVE}\ntwo   words", None),
    "stripped": ({}, f"  {FIVE} \r\n\n", FIVE, None),
    "terminal_off": ({}, f"{FIVE}\nno end here", f"{FIVE}\nno end here", None),
    "terminal_on": (
        {"require_terminal": True},
        f'{FIVE}\nno end here\nan "end here"\nan end...',
        f'{FIVE}\nan "end here"',
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    parameters, text, edited, reason = CASES[case]
    doc = Document(text=text, id="1")
    after, measured = C4(**parameters).rewrite(doc)
    assert next((m.reason for m in measured if m.failed), None) == reason
    assert after == (doc if reason else Document(text=edited, id="1"))


def test_every_reason_is_tested() -> None:
    assert {reason for _, _, _, reason in CASES.values()} - {None} == set(C4.reasons)


def test_values_and_thresholds() -> None:
    doc = Document(text=f"{PROSE}\na b {{ c\nd e {{ f")
    assert C4().rewrite(doc)[1] == (
        Measurement("curly_bracket", 2, 0, "max"),
        Measurement("lorem_ipsum", 0, 0, "max"),
        Measurement("too_few_sentences", 4, 5, "min"),
    )
    assert C4()(doc) == Verdict("curly_bracket", 2, 0)
    assert C4(drop_curly_bracket=False)(doc) is None


def test_everything_off_changes_nothing() -> None:
    off = C4(
        max_word_length=None,
        remove_citations=False,
        min_words_per_line=None,
        drop_lorem_ipsum=False,
        drop_javascript_lines=False,
        drop_curly_bracket=False,
        policy_phrases=(),
        min_sentences=None,
    )
    doc = Document(text="lorem ipsum\njavascript {\nuse cookies [1]\n" + "x" * 2000)
    assert off.rewrite(doc) == (doc, ())


@given(st.text() | st.text(alphabet="a.{[]1 \n"))
def test_any_text_gets_an_answer(text: str) -> None:
    verdict = C4()(Document(text=text))
    assert verdict is None or verdict.reason in C4.reasons
