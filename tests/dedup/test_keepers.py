"""Policies of who stays: each value below, at and above another."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.keepers import KEEPERS, UNKNOWN, Keep
from schemas.records import Document


def doc(text: str = "", score: float | None = None, date: str = "") -> Document:
    return Document(text, quality_score=score, date=date)


# policy -> documents from the one that stays last to the one that stays first; a tuple holds equals
ORDERS: dict[Keep, list[tuple[Document, ...]]] = {
    "first": [(doc("long text", 0.9, "2001-01-01"), doc())],
    "longest": [(doc(""),), (doc("ab"), doc("äß")), (doc("abc"),)],
    "best_quality": [
        (doc(score=None), doc(score=math.nan)),
        (doc(score=-math.inf),),
        (doc(score=-2.0),),
        (doc(score=-1.0),),
        (doc(score=-1e-300),),
        (doc(score=0.0), doc(score=-0.0)),
        (doc(score=1e-300),),
        (doc(score=0.25),),
        (doc(score=math.inf),),
    ],
    "oldest": [
        (doc(date=""), doc(date="no date"), doc(date="20261301")),
        (doc(date="9999-12-31T23:59:59Z"),),
        (doc(date="2026-11-01T00:00:01Z"),),
        (doc(date="2026-11-01T00:00:00Z"), doc(date="2026-11-01T00:00:00"), doc(date="2026-11-01T09:00:00+09:00")),
        (doc(date="2026-10-31T23:59:59.999999Z"),),
        (doc(date="1969-07-20T20:17:40Z"),),
        (doc(date="0001-01-01T00:00:00+23:59"),),
    ],
}


@pytest.mark.parametrize("keep", KEEPERS)
def test_order_of_priorities(keep: Keep) -> None:
    levels = [{KEEPERS[keep](d) for d in equals} for equals in ORDERS[keep]]
    assert [len(level) for level in levels] == [1] * len(levels)
    values = [value for level in levels for value in level]
    assert values == sorted(set(values))
    assert all(-(2**63) <= value < 2**63 for value in values)


def test_what_is_missing_has_the_lowest_priority() -> None:
    assert KEEPERS["best_quality"](doc()) == KEEPERS["oldest"](doc()) == UNKNOWN


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_quality_orders_as_its_scores(a: float, b: float) -> None:
    low, high = (KEEPERS["best_quality"](doc(score=score)) for score in (a, b))
    assert (low < high) == (a < b)
    assert (low == high) == (a == b)


@given(st.text())
def test_any_date_gets_an_answer(date: str) -> None:
    assert -(2**63) <= KEEPERS["oldest"](doc(date=date)) < 2**63
