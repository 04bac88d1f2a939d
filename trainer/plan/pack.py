"""Packing: sizes into rows of one capacity by best-fit decreasing, each into the fullest row that still takes it.

Best-fit decreasing needs at most 11/9 of the fewest rows possible, plus four (Johnson et al. 1974); documents of
natural lengths, many of them short, leave well under one per cent empty.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.compiled import kernel


def pack(sizes: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packs sizes [n], each from 1 to `capacity`, without cutting any.

    Equal sizes are placed in the order given, of equally full rows the one filled last is taken: the same sizes give
    the same rows everywhere.

    Returns:
        Numbers [n] of the sizes, row after row, and where each row begins in them [rows + 1].
    """
    falling = np.argsort(-sizes, kind="stable")
    rows = _best_fit(sizes[falling], capacity)
    count = int(rows.max()) + 1 if len(rows) else 0
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
    return falling[np.argsort(rows, kind="stable")], starts


@kernel
def _least_from(tree: NDArray[np.bool_], room: int) -> int:
    """The least room >= `room` that some row has left, -1 where there is none.

    `tree` [2 * leaves] is a heap of bits: leaf `leaves + r` says whether a row has room r left, a node whether one of
    its children says so.
    """
    leaves = tree.size // 2
    node = leaves + room
    if tree[node]:
        return room
    while node > 1 and (node % 2 == 1 or not tree[node + 1]):
        node //= 2
    if node <= 1:
        return -1
    node += 1
    while node < leaves:
        node = 2 * node if tree[2 * node] else 2 * node + 1
    return node - leaves


@kernel
def _best_fit(sizes: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The row of each size; sizes fall. Rows with equal room left are chained: `last[room]`, then `before[row]`."""
    leaves = 1
    while leaves <= capacity:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.bool_)
    last = np.full(capacity + 1, -1, np.int64)
    before = np.empty(sizes.size, np.int64)
    rows = np.empty(sizes.size, np.int64)
    count = 0
    for i in range(sizes.size):
        room = _least_from(tree, sizes[i])
        if room < 0:
            row, room = count, capacity
            count += 1
        else:
            row = last[room]
            last[room] = before[row]
            if last[room] < 0:
                node = leaves + room
                tree[node] = False
                while node > 1 and not tree[node ^ 1]:
                    node //= 2
                    tree[node] = False
        rows[i] = row
        left = room - sizes[i]
        before[row] = last[left]
        last[left] = row
        node = leaves + left
        while node >= 1 and not tree[node]:
            tree[node] = True
            node //= 2
    return rows
