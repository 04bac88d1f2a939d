"""Packing is best-fit decreasing, and leaves little empty."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.plan.pack import pack


def rows_by_hand(sizes: list[int], capacity: int) -> int:
    """Rows that best-fit decreasing needs, the slow and obvious way."""
    rooms: list[int] = []
    for size in sorted(sizes, reverse=True):
        fitting = [(room, i) for i, room in enumerate(rooms) if room >= size]
        _, i = min(fitting, default=(0, len(rooms)))
        rooms += [capacity] * (i == len(rooms))
        rooms[i] -= size
    return len(rooms)


@settings(deadline=None)  # the first example compiles
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), max_size=60))))
def test_every_size_stands_in_one_row_and_rows_are_as_few_as_best_fit_decreasing_makes(
    case: tuple[int, list[int]],
) -> None:
    capacity, sizes = case
    numbers, starts = pack(np.array(sizes, np.int64), capacity)
    assert sorted(numbers.tolist()) == list(range(len(sizes)))
    rows = [[sizes[i] for i in numbers[a:b]] for a, b in pairwise(starts)]
    assert all(0 < sum(row) <= capacity for row in rows)
    assert len(rows) == rows_by_hand(sizes, capacity)


def test_ties_are_always_broken_alike() -> None:
    sizes = np.array([3, 5, 3, 2, 5, 2, 8], np.int64)
    numbers, starts = pack(sizes, 8)
    assert starts.tolist() == [0, 1, 3, 5, 7]
    assert numbers.tolist() == [6, 1, 2, 4, 0, 3, 5]


@pytest.mark.parametrize("seq_len", [256, 1024, 2048, 4096, 8192, 131_072])
def test_documents_of_log_normal_lengths_pad_less_than_a_hundredth(seq_len: int) -> None:
    positions = np.maximum(1, np.random.default_rng(0).lognormal(6, 1, 20_000).astype(np.int64))
    whole, rest = np.divmod(positions, seq_len)
    sizes = np.concatenate([np.full(whole.sum(), seq_len), rest[rest > 0]])
    _, starts = pack(sizes, seq_len)
    assert 1 - sizes.sum() / ((len(starts) - 1) * seq_len) <= 0.01
