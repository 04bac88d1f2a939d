"""Numbers as arguments: bounds, and words for what is none."""

import argparse
from collections.abc import Callable

import pytest

from service.numbers import natural, number, positive, share

GOOD: dict[str, tuple[Callable[[str], float], str, float]] = {
    "positive": (positive, "1", 1),
    "natural": (natural, "0", 0),
    "share_least": (share, "0", 0.0),
    "share_most": (share, "1", 1.0),
    "number": (number, "0.04", 0.04),
    "number_least": (number, "0", 0.0),
}


@pytest.mark.parametrize("case", GOOD)
def test_within(case: str) -> None:
    kind, text, value = GOOD[case]
    assert kind(text) == value


BAD: dict[str, tuple[Callable[[str], float], str, str]] = {
    "positive": (positive, "0", "0 is not at least 1"),
    "natural": (natural, "-1", "-1 is not at least 0"),
    "no_integer": (positive, "1.5", "'1.5' is no whole number"),
    "nothing": (natural, "", "'' is no whole number"),
    "share": (share, "1.01", "1.01 is not in [0, 1]"),
    "negative_share": (share, "-0.1", "-0.1 is no finite number of at least 0"),
    "no_number": (number, "free", "'free' is no number"),
    "nan": (share, "nan", "nan is no finite number of at least 0"),
    "infinite": (number, "inf", "inf is no finite number of at least 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_out_of_range(case: str) -> None:
    kind, text, words = BAD[case]
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert str(caught.value) == words
