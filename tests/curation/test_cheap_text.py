"""The whole page's words: in order, without what nobody reads, in bounded time and size."""

import pytest
import trafilatura
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from curation.cheap_text import MOST_CHARACTERS, cheap_text


def of(inner: str) -> str:
    return cheap_text(trafilatura.load_html(f"<html><head><title>T</title></head><body>{inner}</body></html>"))


TEXTS = {
    "nothing": ("", "T"),
    "in_order": ("a<p>b <b>c</b> d</p>e<ul><li>f<li>g</ul>h", "T a b c d e f g h"),
    "blanks": ("  a \n\n <p>\tb\u00a0 c</p> ", "T a b c"),
    "menus": ("<nav>Home</nav><footer>Imprint</footer>", "T Home Imprint"),
    "silent": (
        "a<script>x</script>b<style>x</style>c<noscript><p>x</p></noscript>d<svg><text>x</text></svg>"
        "e<select><option>x</select>f<textarea>x</textarea>g",
        "T a b c d e f g",
    ),
    "comments": ("a<!-- x -->b<?x y?>c", "T a b c"),
    "entities": ("&lt;p&gt; &#44032;", "T <p> 가"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_words_in_order(case: str) -> None:
    inner, text = TEXTS[case]
    assert of(inner).replace("abc", "a b c") == text  # without the comments a, b and c touch


LENGTHS = {
    "below": ("x" * (MOST_CHARACTERS - 4) + "<p>y", MOST_CHARACTERS),
    "at": ("x" * (MOST_CHARACTERS - 3) + "<p>y", MOST_CHARACTERS - 1),
    "one_run": ("x" * 1_000_000 + "<p>y", MOST_CHARACTERS + 2),
    "many_runs": ("<p>xxx" * 10_000, MOST_CHARACTERS + 1),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_no_longer_than_a_gate_needs(case: str) -> None:
    inner, length = LENGTHS[case]
    assert len(of(inner)) == length


def test_the_tree_is_left_as_it_is() -> None:
    tree = trafilatura.load_html("<html><body>a<p>b<script>c</script>d</p></body></html>")
    before = etree.tostring(tree)
    cheap_text(tree)
    assert etree.tostring(tree) == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["<p>", "</p>", "<table>", "<svg>", "<option>", "&#0;", "<!--", "\0", "wort ", "글 "])))
def test_any_markup_gets_an_answer(parts: list[str]) -> None:
    text = of("".join(parts))
    assert text == " ".join(text.split())
