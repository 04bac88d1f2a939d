import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text import korean, words
from text.words import Segmenter, segmenter

NAMES = {
    "": "english",
    "en": "english",
    "eng_Latn": "english",
    "sco_Latn": "english",
    "deu_Latn": "unicode",
    "jpn_Jpan": "unicode",
    "zh": "unicode",
    "bat-smg": "unicode",
    "unicode": "unicode",
}


@pytest.mark.parametrize(("language", "name"), NAMES.items())
def test_segmenter_names(language: str, name: str) -> None:
    found = segmenter(language)
    assert found.name == name
    assert bool(found.deviation) == (name == "unicode")
    assert segmenter(language) is found
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("language", ["English", "e", "../x", "eng Latn", "한국어", "eng_"])
def test_what_is_no_label_is_an_error(language: str) -> None:
    with pytest.raises(ValueError, match="no words for the language") as error:
        segmenter(language)
    assert repr(language) in str(error.value)


@pytest.mark.parametrize("language", ["ko", "kor", "kor_Hang"])
def test_korean_without_kiwi_is_an_error_by_name(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise korean.PackageNotFoundError(name)

    monkeypatch.setattr(korean, "version", missing)
    segmenter.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'gristmill\[korean\]'"):
        segmenter(language)


@pytest.mark.parametrize(("version", "fits"), [("0.21.0", True), ("0.22.0", False), ("1.0", False)])
def test_korean_needs_the_old_model(version: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(korean, "version", lambda name: version)
    segmenter.cache_clear()
    if fits:
        assert segmenter("kor_Hang").name == "kiwi"
    else:
        with pytest.raises(ImportError, match="no longer carries"):
            segmenter("kor_Hang")
    segmenter.cache_clear()


UNICODE = {
    "empty": ("", ""),
    "german": ("Das Öl, naïve!", "Das Öl , naïve !"),
    "underscore": ("a_b c-d", "a_b c - d"),
    "marks": ("...?!", ". . . ? !"),
    "combining": ("e\u0301te\u0301", "e\u0301te\u0301"),
    "chinese": ("今天好。ok", "今 天 好 。 ok"),
    "japanese": ("カナとAI", "カ ナ と AI"),
    "thai_keeps_its_marks": ("ที่นี่", "ที่ นี่"),
    "hindi": ("हिन्दी में", "हिन्दी में"),
    "persian_joiner": ("می\u200cخواهم", "می\u200cخواهم"),
    "hangul": ("나는 간다", "나는 간다"),
    "emoji": ("ok👍🏽", "ok 👍 🏽"),
    "white_space": ("a\u3000b\x1cc\x85d", "a b c d"),
}


@pytest.mark.parametrize(("text", "expected"), UNICODE.values(), ids=UNICODE)
def test_unicode_words(text: str, expected: str) -> None:
    assert segmenter("unicode").words(text) == expected.split()


@pytest.mark.parametrize("found", [segmenter("eng_Latn"), segmenter("unicode")], ids=["english", "unicode"])
@settings(deadline=None)  # the first text builds the tables
@given(text=st.text())
def test_any_text_is_cut_into_clean_words(found: Segmenter, text: str) -> None:
    cut = found.words(text)
    assert "".join(cut) == "".join(text.split())
    assert all(word and word == word.strip() for word in cut)


def test_public_names() -> None:
    assert words.__all__ == ["UNICODE", "Segmenter", "segmenter"]
