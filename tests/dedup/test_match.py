"""Edges of a range against a slow, obvious oracle."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.match import edges

Pairs = list[tuple[int, int]]


def slice_of(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([k for k, _ in pairs], np.uint64), np.array([n for _, n in pairs], np.int64)


def forest(pairs: Pairs) -> list[list[int]]:
    """Merges sets until nothing changes."""
    buckets = defaultdict(set)
    for key, number in pairs:
        buckets[key].add(number)
    sets: list[set[int]] = []
    for bucket in buckets.values():
        touched = [s for s in sets if s & bucket]
        sets = [s for s in sets if not s & bucket] + [bucket.union(*touched)]
    return sorted([member, min(s)] for s in sets for member in s if member != min(s))


BIG = 2**64 - 1
CASES: dict[str, tuple[list[Pairs], list[list[int]]]] = {
    "no_slices": ([], []),
    "empty_slices": ([[], []], []),
    "all_alone": ([[(1, 0), (2, 1)], [(3, 2)]], []),
    "a_pair": ([[(1, 0)], [(1, 5)]], [[5, 0]]),
    "order_of_slices": ([[(1, 5)], [(1, 0)]], [[5, 0]]),
    "the_same_document_twice": ([[(1, 4), (1, 4)]], []),
    "two_keys_one_edge": ([[(1, 0), (2, 0)], [(1, 3), (2, 3)]], [[3, 0]]),
    "chain": ([[(1, 7), (1, 9), (2, 9), (2, 3), (3, 3), (3, 8)]], [[7, 3], [8, 3], [9, 3]]),
    "ends_of_the_keys": ([[(0, 1), (BIG, 2)], [(0, 3), (BIG, 4)]], [[3, 1], [4, 2]]),
    "numbers_beyond_32_bits": ([[(1, 2**40), (1, 2**33)]], [[2**40, 2**33]]),
}


def test_cases() -> None:
    for case, (slices, expected) in CASES.items():
        found = edges(slice_of(pairs) for pairs in slices)
        assert found.tolist() == expected, case
        assert (found.dtype, found.shape) == (np.int64, (len(expected), 2)), case


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 30)), max_size=60),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_any_pairs_in_any_slices_give_the_oracles_forest(pairs: Pairs, random, data: st.DataObject) -> None:
    expected = forest(pairs)
    shuffled = random.sample(pairs, len(pairs))
    cut = data.draw(st.integers(0, len(pairs)))
    assert edges([slice_of(shuffled[:cut]), slice_of(shuffled[cut:])]).tolist() == expected
