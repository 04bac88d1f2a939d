"""Shares and held-out documents are decided by hashes."""

from itertools import pairwise

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from trainer.plan.shares import in_share, is_held_out
from trainer.plan.shuffle import order

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=50)
FRACTIONS = st.floats(0, 1)


@given(HASHES, FRACTIONS)
def test_held_out_is_xxh3_with_seed_1_of_the_hash_s_bytes(hashes: list[int], share: float) -> None:
    wanted = [xxhash.xxh3_64_intdigest(value.to_bytes(8, "little"), seed=1) < share * 2**64 for value in hashes]
    assert is_held_out(np.array(hashes, np.uint64), share).tolist() == wanted


@given(HASHES, st.lists(FRACTIONS, min_size=1, max_size=4))
def test_shares_that_meet_take_every_document_once(hashes: list[int], cuts: list[float]) -> None:
    places = [0.0, *sorted(cuts), 1.0]
    array = np.array(hashes, np.uint64)
    taken = [in_share(array, share) for share in pairwise(places)]
    assert np.sum(taken, axis=0).tolist() == [1] * len(hashes)


@pytest.mark.parametrize(("value", "inside"), [(2**62 - 1, False), (2**62, True), (2**63 - 1, True), (2**63, False)])
def test_a_share_begins_with_its_first_fraction_and_ends_before_its_last(value: int, inside: bool) -> None:
    assert in_share(np.array([value], np.uint64), (0.25, 0.5)).tolist() == [inside]


def test_an_order_is_a_permutation_that_its_purpose_decides() -> None:
    one = order(1000, 7, "core", "web", 0)
    assert sorted(one.tolist()) == list(range(1000))
    assert one[:8].tolist() == order(1000, 7, "core", "web", 0)[:8].tolist()
    assert one.tolist() != order(1000, 7, "core", "web", 1).tolist()
    assert one.tolist() != order(1000, 8, "core", "web", 0).tolist()


def test_orders_are_the_same_on_every_machine() -> None:
    assert order(8, 0, "core", "web", 0).tolist() == [5, 7, 3, 1, 0, 6, 2, 4]
