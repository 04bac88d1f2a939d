import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text import english
from text.english import tokens, words
from text.english_characters import ICONS, MARKS, QUOTES, UNITS
from text.english_exceptions import exceptions

SHARED = Path(__file__).parents[2].parent / "shared"

CASES = {
    "empty": ("", ""),
    "white_space": (" \t\n\u3000", ""),
    "sentence": ("The mill, at last, turns.", "The mill , at last , turns ."),
    "quotes": ("“It's 'fine'”", "“ It 's ' fine ' ”"),
    "contractions": ("I can't, he'd've, dont", "I ca n't , he 'd 've , do nt"),
    "typographic_apostrophe": ("we’re", "we ’re"),
    "other_words_stay": ("well hell Its were", "well hell Its were"),
    "abbreviations": ("Mr. Doe, e.g. in N.Y.", "Mr. Doe , e.g. in N.Y."),
    "initials": ("USA. Ab. a.b.", "USA . Ab . a.b ."),
    "clock": ("at 5pm or 10a.m.", "at 5 pm or 10 a.m."),
    "units": ("5km 3.5µg 20% 7kmX", "5 km 3.5 µg 20 % 7kmX"),
    "degrees": ("20°C. 20°", "20 ° C . 20 °"),
    "money": ("$5 US$3 7€ A$", "$ 5 US$ 3 7 € A$"),
    "plus": ("+5 +x 5+", "+5 + x 5 +"),
    "hyphens": ("well-known 1990-95 a--b -x-", "well - known 1990 - 95 a -- b -x-"),
    "infix_marks": ("a,b 1,5 a/b a:b 5*3", "a , b 1,5 a / b a : b 5 * 3"),
    "lower_stop_upper": ("end.Start end.start", "end . Start end.start"),
    "ellipses": ("wait... …what……", "wait ... … what ……"),
    "icon_inside": ("a★b☺", "a ★ b ☺"),
    "leading_infix_stays": ("foo.-bar", "foo.-bar"),
    "url": ("(https://x.org/a?b=c,d)", "( https://x.org/a?b=c,d )"),
    "mail": ("<jane@doe.com>", "< jane@doe.com >"),
    "scheme_only": ("http://localhost", "http://localhost"),
    "private_address": ("10.0.0.1:80/a-b", "10.0.0.1:80 / a - b"),
    "public_address": ("8.8.8.8:80/a-b", "8.8.8.8:80/a-b"),
    "faces": (":) foo:) :-P x_x", ":) foo :) :-P x_x"),
    "joined_exception": ("(a.m.)", "( a.m. )"),
    "exception_with_a_space_is_none": ("foo: )", "foo : )"),
    "but_keeps_a_shorter_one_apart": ("foo:) )", "foo : ) )"),
    "which_a_tab_does_not": ("foo:)\t)", "foo :) )"),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.fixture(scope="module")
def reference() -> Callable[[str], list[str]]:
    spacy = pytest.importorskip("spacy", reason="spaCy is the oracle of English words; it is in the extra `dev`")
    nlp = spacy.blank("en")
    nlp.max_length = 10_000_000

    def all_tokens(text: str) -> list[str]:
        with nlp.memory_zone():
            return [token.text for token in nlp.make_doc(text)]

    return all_tokens


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()], ids=CASES)
def test_cases_equal_spacy(text: str, reference: Callable[[str], list[str]]) -> None:
    assert tokens(text)[0] == reference(text)


def test_each_exception_equals_spacy(reference: Callable[[str], list[str]]) -> None:
    for whole, parts in exceptions().items():
        assert tokens(whole)[0] == list(parts) == reference(whole)
        for text in (f"({whole}", f"{whole},", f"x{whole}", f"{whole}x", f"1{whole}.", f"{whole} {whole}"):
            assert tokens(text)[0] == reference(text), text


ALPHABETS = (
    sorted(MARKS | QUOTES) + list("…—–-+=/%§.~^*@$€£°|\\" * 2),
    list("abzABZsSdmtkgéßЖж한中アกԱǅƻʔİ١²½ⅷ①مك\u0301"),
    list("0123456789"),
    ["http://", "www.", "user@", "foo@bar.com", ".com", ".co.uk", "/p?q=1", "#f", ":8080", "192.168.1.1", "8.8.8.8"],
    ["172.16.0.1", "223.1.1.254", "ftp://a:b@c.de", "://", "_", "münchen.de", "例.中国", "٣.٤.٥.٦", "a" * 64 + "."],
    sorted(UNITS),
    random.Random(0).sample(sorted(ICONS), 50),
    [" "] * 8 + ["  ", "\n", "\t", " \n", "\u00a0", "\u3000", "\x1c", "\x85", "\u2028"],
    [
        "it",
        "he",
        "don",
        "I",
        "a",
        "x",
        "space",
        "Mr",
        "US",
        "C",
        "3",
        "8",
        "33",
        "o",
        "cause",
        "em",
        "not",
        "am",
        "n't",
    ],
    sorted(exceptions()),
)
hostile = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from([piece for alphabet in ALPHABETS for piece in alphabet]), max_size=16).map("".join),
    st.lists(st.sampled_from(ALPHABETS).flatmap(st.sampled_from), max_size=24).map("".join),
    st.sampled_from(ALPHABETS).flatmap(lambda one: st.lists(st.sampled_from(one), max_size=12)).map("".join),
)


@settings(max_examples=1500, deadline=None)
@given(hostile)
def test_any_text_equals_spacy(reference: Callable[[str], list[str]], text: str) -> None:
    expected = reference(text)
    found, spaced = tokens(text)
    assert found == expected
    assert "".join(token + " " * space for token, space in zip(found, spaced, strict=True)) == text
    assert words(text) == [token for token in expected if not token.isspace()]


@pytest.mark.parametrize(
    "name", ["realweb/fineweb_verdicts.jsonl.gz", "koweb/fineweb2_ko_verdicts.jsonl.gz"], ids=["realweb", "koweb"]
)
def test_real_pages_equal_spacy(name: str, reference: Callable[[str], list[str]]) -> None:
    if not (SHARED / "data" / name).exists():
        pytest.skip(f"no real pages here: {name}")
    with gzip.open(SHARED / "data" / name) as lines:
        texts = [text for text in (json.loads(line)["text"] for line in lines) if text]
    for text in texts[::4]:
        assert words(text) == [token for token in reference(text) if not token.isspace()]


@settings(deadline=None)
@given(st.text())
def test_words_are_the_text_without_white_space(text: str) -> None:
    found = words(text)
    assert "".join(found) == "".join(text.split())
    assert "" not in found


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "A.",
        ".",
        "'",
        "(",
        "'s",
        ":)",
        "…",
        "a@",
        "@",
        "://",
        "a:",
        "a.",
        "a-",
        "1+",
        "1km",
        "a.b@",
        "...x",
        "$",
        "한",
    ],
)
def test_time_is_linear_in_hostile_text(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    start = time.process_time()
    found = words(text)
    assert time.process_time() - start < 5  # takes .5 s at most; a quadratic step would take minutes
    assert "".join(found) == text


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(english, "_CACHE_WEIGHT", 10_000)
    english.forget()
    for number in range(1000):
        assert words(f"x{number}, it's") == [f"x{number}", ",", "it", "'s"]
        assert len(english._memory.chunks()) <= 50
