"""Ramps, and what a mix that changes asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.plan.ramps import goals, value_at

RAMP = ((0, 1), (100, 2), (250, 5))


@pytest.mark.parametrize(("at", "value"), [(0, 1), (99, 1), (100, 2), (249, 2), (250, 5), (10**13, 5)])
def test_a_value_holds_until_the_next_begins(at: int, value: int) -> None:
    assert value_at(RAMP, at) == value


def test_goals_follow_a_mix_that_changes() -> None:
    mix = ((0, {"web": 3.0, "code": 1.0}), (100, {"web": 1.0, "math": 1.0}))
    assert goals(mix, 0) == {"web": 0, "code": 0, "math": 0}
    assert goals(mix, 40) == {"web": 30, "code": 10, "math": 0}
    assert goals(mix, 200) == {"web": 125, "code": 25, "math": 50}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1000), min_size=1),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1000), min_size=1),
    st.integers(1, 10**9),
    st.integers(0, 10**13),
)
def test_goals_add_up(first: dict[str, float], second: dict[str, float], change: int, at: int) -> None:
    assert sum(goals(((0, first), (change, second)), at).values()) == pytest.approx(at, rel=1e-12)


def test_goals_do_not_depend_on_the_order_of_names() -> None:
    weights = {"a": 0.1, "b": 0.7, "c": 1e-9, "d": 3.3}
    turned = dict(reversed(weights.items()))
    assert goals(((0, weights),), 10**12 + 7) == goals(((0, turned),), 10**12 + 7)
