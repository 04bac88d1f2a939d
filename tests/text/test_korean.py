from pathlib import Path

import pytest

from text import korean

SHARED = Path(__file__).parents[2].parent / "shared"
try:
    korean.require()
except ImportError as missing:
    pytest.skip(str(missing), allow_module_level=True)

CASES = {
    "empty": ("", ""),
    "white_space": (" \n\t", ""),
    "particles_apart": ("학교에서 공부한다", "학교 에서 공부 한 한다"),
    "two_morphemes_in_a_syllable": ("나는 갔다.", "나 는 갔 갔 다 ."),
    "latin_and_digits": ("AI 3개", "AI 3 개"),
    "long_number_below": ("값 " + "1" * 19 + " 끝", "값 " + "1" * 19 + " 끝"),
    "long_number_at": ("값 " + "1" * 20 + " 끝", "값 1"),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_words(text: str, expected: str) -> None:
    assert korean.words(text) == expected.split()


def test_words_stand_in_the_text() -> None:
    text = "거친 곡식을 빻아 고운 가루를 얻는다. 물레방아는 쉬지 않고 돌았다!"
    assert all(word in text for word in korean.words(text))


def test_long_text_is_cut_whole() -> None:
    assert len(korean.words("물레방아가 돈다. " * 2000)) == 2000 * len(korean.words("물레방아가 돈다. "))
