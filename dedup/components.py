"""Clusters: connected components over dense document numbers, and which member of each stays.

Components are the true transitive closure of the edges, as datatrove's clusters are: two members may be less alike
than any edge asks for.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32] | NDArray[np.int64]

_INT32_DOCUMENTS = 2**31


class Components:
    """Streaming union-find over the documents 0 to n - 1: 4 bytes a document (8 from 2^31 on) and one block of edges.

    The order of edges does not matter: a component's root is always its least member.
    """

    def __init__(self, n: int) -> None:
        """Begins with n documents, each alone."""
        self._parents: Numbers = np.arange(n, dtype=np.int32) if n < _INT32_DOCUMENTS else np.arange(n, dtype=np.int64)

    def add(self, edges: NDArray[np.int64]) -> None:
        """Unites the ends of each edge; edges have shape (m, 2).

        Raises:
          ValueError: an edge's end is no document, or the array has another shape. Nothing is united then.
        """
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise ValueError(f"edges of shape {edges.shape!r}; (m, 2) is needed")
        if edges.size and not (edges.min() >= 0 and edges.max() < self._parents.size):
            raise ValueError(
                f"an edge's end is {edges.min()!r} or {edges.max()!r}, and there are documents 0 to "
                f"{self._parents.size - 1}: edges and counts come from different runs"
            )
        unite(self._parents, edges)

    def labels(self) -> Numbers:
        """Each document's component, named by its least member: shape (n,). A view that further edges change."""
        return roots(self._parents)


@dataclass(frozen=True, slots=True)
class Keepers:
    """Who stays: a bit for every document, and the members of all clusters of at least two, ordered by number."""

    bits: NDArray[np.uint8]
    """Set where the document stays: document i is bit i % 8 (the lowest first) of byte i // 8."""
    numbers: NDArray[np.int64]
    keepers: NDArray[np.int64]
    """The member that stays in the cluster of `numbers[k]`."""
    sizes: NDArray[np.int32]
    """The cluster's members, the keeper included."""


def choose_keepers(labels: Numbers, priority: NDArray[np.int64] | None = None) -> Keepers:
    """Chooses the one document of each component that stays.

    Memory besides the arguments: 4 bytes a document, with priorities another 4, and 20 bytes a member.

    Args:
      labels: from `Components.labels`, shape (n,).
      priority: shape (n,); in each component the highest stays, of equals the one with the smallest number. None:
        the smallest number stays.

    Raises:
      ValueError: the shapes differ.
    """
    if priority is not None and priority.shape != labels.shape:
        raise ValueError(f"{priority.shape!r} priorities for {labels.shape!r} documents: one each is needed")
    best = labels if priority is None else _best(labels, priority)
    sizes = _sizes(labels)
    return Keepers(*_members(labels, best, sizes))


def kept(bits: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.bool_]:
    """Whether documents [start, stop) stay, shape (stop - start,), by the bits of `Keepers`."""
    unpacked = np.unpackbits(bits[start // 8 : -(-stop // 8)], bitorder="little")
    return unpacked[start % 8 :][: stop - start].astype(np.bool_)


@numba.njit(cache=True)
def _root(parents: Numbers, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@numba.njit(cache=True)
def unite(parents: Numbers, edges: NDArray[np.int64]) -> None:
    """Unites the ends of each edge (m, 2) in place: roots point to smaller roots, so parents[i] <= i throughout."""
    for k in range(len(edges)):
        a = _root(parents, edges[k, 0])
        b = _root(parents, edges[k, 1])
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b


@numba.njit(cache=True)
def roots(parents: Numbers) -> Numbers:
    """Points every document at its root, in place; returns `parents`."""
    for i in range(parents.size):
        parents[i] = parents[parents[i]]  # parents come before their children, so they are roots already
    return parents


@numba.njit(cache=True)
def _best(labels: Numbers, priority: NDArray[np.int64]) -> Numbers:
    """For each root the member that stays; what stands at other numbers means nothing."""
    best = labels.copy()
    for i in range(labels.size):
        root = labels[i]
        if priority[i] > priority[best[root]]:
            best[root] = i
    return best


@numba.njit(cache=True)
def _sizes(labels: Numbers) -> NDArray[np.int32]:
    """For each root the members of its component, else 0."""
    sizes = np.zeros(labels.size, np.int32)
    for i in range(labels.size):
        sizes[labels[i]] += 1
    return sizes


@numba.njit(cache=True)
def _members(
    labels: Numbers, best: Numbers, sizes: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    count = 0
    for i in range(labels.size):
        count += sizes[labels[i]] > 1
    bits = np.zeros((labels.size + 7) // 8, np.uint8)
    numbers, keepers, members = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int32)
    k = 0
    for i in range(labels.size):
        root = labels[i]
        if best[root] == i:
            bits[i // 8] |= np.uint8(1 << (i % 8))
        if sizes[root] > 1:
            numbers[k], keepers[k], members[k] = i, best[root], sizes[root]
            k += 1
    return bits, numbers, keepers, members
