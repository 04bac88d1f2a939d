import pytest

from text.codepoints import character_class, expand
from text.punctuation import PUNCTUATION, SYMBOLS, TERMINAL_PUNCTUATION

PRESENT = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«´»–—’“”„…∶━►、。「」【】！％（），．１：；？～〈《〉》"
ABSENT = "‘•·€£¥§°©×⟨⟩aZ0९\t\n "


def test_sizes() -> None:
    assert len(PUNCTUATION) == 129
    assert len(TERMINAL_PUNCTUATION) == 159
    assert len(SYMBOLS) == 281


@pytest.mark.parametrize("char", PRESENT)
def test_punctuation_has(char: str) -> None:
    assert char in PUNCTUATION


@pytest.mark.parametrize("char", ABSENT)
def test_punctuation_lacks(char: str) -> None:
    assert char not in PUNCTUATION


def test_printable_punctuation_is_complete() -> None:
    assert {char for char in PUNCTUATION if char.isprintable()} == set(PRESENT)


@pytest.mark.parametrize("char", ".?!։؟۔।॥၊။።‼‽⁇⸮꓿！．？。｡")
def test_terminal_punctuation_has(char: str) -> None:
    assert char in TERMINAL_PUNCTUATION


@pytest.mark.parametrize("char", ",;:…\"'”)")
def test_terminal_punctuation_lacks(char: str) -> None:
    assert char not in TERMINAL_PUNCTUATION


def test_expand() -> None:
    assert "".join(expand("61-63 7a")) == "abcz"
    with pytest.raises(ValueError, match="xyz"):
        list(expand("xyz"))


def test_character_class_joins_neighbours() -> None:
    assert character_class(set("abcz^")) == r"\^a-cz"
    assert character_class(set()) == ""
