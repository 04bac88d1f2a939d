"""Union-find, keepers, bitmap and table against slow, obvious oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.components import Components, choose_keepers, kept

N = 12
EDGES = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=20)


def array(edges: list[tuple[int, int]]) -> np.ndarray:
    return np.array(edges, np.int64).reshape(-1, 2)


def least_reachable(n: int, edges: list[tuple[int, int]]) -> list[int]:
    """Spreads the least number over edges until nothing changes."""
    labels = list(range(n))
    for _ in range(n):
        for a, b in edges:
            labels[a] = labels[b] = min(labels[a], labels[b])
    return labels


@settings(deadline=None, max_examples=200)
@given(EDGES, st.randoms(use_true_random=False), st.data())
def test_order_direction_and_blocks_of_edges_do_not_matter(edges, random, data: st.DataObject) -> None:
    shuffled = [random.choice([(a, b), (b, a)]) for a, b in random.sample(edges, len(edges))]
    cut = data.draw(st.integers(0, len(edges)))
    components = Components(N)
    components.add(array(shuffled[:cut]))
    components.labels()  # asking in between changes nothing
    components.add(array(shuffled[cut:]))
    assert components.labels().tolist() == least_reachable(N, edges)


def test_a_long_chain_in_the_worst_orders() -> None:
    n = 200_000
    up = np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)
    for edges in (up, up[::-1], up[:, ::-1], np.random.default_rng(0).permutation(up)):
        components = Components(n)
        components.add(edges)
        labels = components.labels()
        assert labels.dtype == np.int32
        assert not labels.any()


REFUSED = {
    "below": ([[0, -1]], "-1"),
    "at_n": ([[0, N]], f"documents 0 to {N - 1}"),
    "three_columns": ([[0, 1, 2]], r"\(1, 3\)"),
}


@pytest.mark.parametrize(("edges", "message"), REFUSED.values(), ids=REFUSED)
def test_edges_that_can_not_be_are_refused(edges: list[list[int]], message: str) -> None:
    components = Components(N)
    with pytest.raises(ValueError, match=message):
        components.add(np.array(edges, np.int64))
    assert components.labels().tolist() == list(range(N))


def test_nothing() -> None:
    components = Components(0)
    components.add(array([]))
    found = choose_keepers(components.labels())
    assert [a.tolist() for a in (found.bits, found.numbers, found.keepers, found.sizes)] == [[], [], [], []]


KEEPERS = {
    # components {0, 3, 5}, {1, 2}, {4}
    "first": (None, [0, 1, 1, 0, 4, 0]),
    "all_equal": ([7, 7, 7, 7, 7, 7], [0, 1, 1, 0, 4, 0]),
    "highest": ([1, 1, 2, 2, 0, 3], [5, 2, 2, 5, 4, 5]),
    "tie_of_the_highest": ([1, 1, 1, 2, 9, 2], [3, 1, 1, 3, 4, 3]),
    "all_unknown": ([-(2**63)] * 6, [0, 1, 1, 0, 4, 0]),
    "extremes": ([-(2**63), 0, 0, 2**63 - 1, 0, 0], [3, 1, 1, 3, 4, 3]),
}


@pytest.mark.parametrize(("priority", "expected"), KEEPERS.values(), ids=KEEPERS)
def test_keepers_bitmap_and_table(priority: list[int] | None, expected: list[int]) -> None:
    components = Components(6)
    components.add(array([(5, 3), (0, 5), (2, 1)]))
    found = choose_keepers(components.labels(), None if priority is None else np.array(priority, np.int64))
    assert found.bits.tolist() == [sum(1 << i for i in range(6) if expected[i] == i)]
    assert found.numbers.tolist() == [0, 1, 2, 3, 5]
    assert found.keepers.tolist() == [expected[i] for i in (0, 1, 2, 3, 5)]
    assert found.sizes.tolist() == [3, 2, 2, 3, 3]
    dtypes = (found.bits.dtype, found.numbers.dtype, found.keepers.dtype, found.sizes.dtype)
    assert dtypes == (np.uint8, np.int64, np.int64, np.int32)


@settings(deadline=None, max_examples=100)
@given(EDGES, st.lists(st.integers(-3, 3), min_size=N, max_size=N))
def test_any_keepers(edges, priority: list[int]) -> None:
    components = Components(N)
    components.add(array(edges))
    labels = least_reachable(N, edges)
    members = [[i for i in range(N) if labels[i] == labels[d]] for d in range(N)]
    expected = [min(group, key=lambda i: (-priority[i], i)) for group in members]
    found = choose_keepers(components.labels(), np.array(priority, np.int64))
    assert kept(found.bits, 0, N).tolist() == [expected[i] == i for i in range(N)]
    rows = zip(found.numbers.tolist(), found.keepers.tolist(), found.sizes.tolist(), strict=True)
    assert list(rows) == [(i, expected[i], len(members[i])) for i in range(N) if len(members[i]) > 1]


def test_priorities_of_another_run_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) priorities for \(3,\) documents"):
        choose_keepers(Components(3).labels(), np.zeros(2, np.int64))


def test_any_range_of_the_bits() -> None:
    stays = np.random.default_rng(0).random(29) < 0.5
    stays[0] = True
    bits = choose_keepers(np.where(stays, np.arange(29), 0)).bits
    for start in range(30):
        for stop in range(start, 30):
            assert kept(bits, start, stop).tolist() == stays[start:stop].tolist()
