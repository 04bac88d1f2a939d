"""From pairs (key, document number) to edges between duplicates: what a range's task does with its slices."""

from collections.abc import Iterable

import numba
import numpy as np
from numpy.typing import NDArray

from dedup.components import roots, unite

Edges = NDArray[np.int64]


def edges(slices: Iterable[tuple[NDArray[np.uint64], NDArray[np.int64]]]) -> Edges:
    """Links the documents of each bucket (those that share a key), with as few edges as that takes.

    Every member of a bucket is linked to the bucket's minimum; then the components of these links are reduced to one
    edge from each member to the least member of its component. So a document yields at most one edge a range, however
    many buckets of the range it shares with others, and the result depends on the set of pairs alone.

    Memory: 32 bytes a pair (the pairs twice while slices are joined, then pairs, order and ordered keys), of pairs
    that share their key another 56.

    Args:
      slices: keys and document numbers of each file, both of shape (pairs,), in any order. All pairs of a key have to
        be among them.

    Returns:
      Rows (member, least member), shape (m, 2), ordered by member; no document is in the first column twice.
    """
    keys, numbers = _shared(slices)
    if keys.size == 0:
        return np.empty((0, 2), np.int64)
    documents, dense = np.unique(numbers, return_inverse=True)
    parents = np.arange(documents.size)
    unite(parents, _links(keys, dense))
    least = roots(parents)
    members = np.flatnonzero(least != np.arange(documents.size))
    return np.stack([documents[members], documents[least[members]]], axis=1)


def _shared(
    slices: Iterable[tuple[NDArray[np.uint64], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The pairs whose key occurs more than once, ordered by key."""
    parts = list(slices)
    keys = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in parts)])
    numbers = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    parts.clear()
    order = np.argsort(keys)
    keys = keys[order]
    shared = np.zeros(keys.size, np.bool_)
    shared[1:] = keys[1:] == keys[:-1]
    shared[:-1] |= shared[1:]
    return keys[shared], numbers[order[shared]]


@numba.njit(cache=True)
def _links(keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> Edges:
    """(member, minimum of its bucket) for each pair; `keys` are ordered."""
    out = np.empty((keys.size, 2), np.int64)
    begin = 0
    for i in range(1, keys.size + 1):
        if i < keys.size and keys[i] == keys[begin]:
            continue
        least = numbers[begin:i].min()
        for k in range(begin, i):
            out[k, 0] = numbers[k]
            out[k, 1] = least
        begin = i
    return out
