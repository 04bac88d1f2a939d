"""Pieces of documents: what stands in a row. Only a document longer than a row is cut; nothing of it is lost."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import IntegrityError
from trainer.plan.draw import Drawn
from trainer.segments.library import Library


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of documents; arrays [m] of int64, in the documents' order.

    A piece of L tokens is L - 1 input positions, each of which predicts its next token.
    """

    segment: NDArray[np.int64]
    start: NDArray[np.int64]
    """First token, in the segment."""
    length: NDArray[np.int64]
    targets: NDArray[np.int64]


def cut(drawn: Drawn, seq_len: int, library: Library) -> Pieces:
    """Cuts documents into pieces of at most seq_len + 1 tokens, which overlap by the one token that is context only.

    Args:
        drawn: Documents of at least two tokens.
        seq_len: Input positions of a row.
        library: To read the masks of those that are cut.

    Raises:
        IntegrityError: A mask does not hold the targets that the document's column says.
    """
    positions = drawn.tokens - 1
    counts = -(-positions // seq_len)
    document = np.repeat(np.arange(len(counts)), counts)
    before = (np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)) * seq_len
    segment, start = drawn.segment[document], drawn.start[document] + before
    length = np.minimum(positions[document] - before, seq_len) + 1
    targets = np.where(counts[document] == 1, drawn.targets[document], length - 1)
    cut_masked = (counts[document] > 1) & _masked(segment, library.has_mask)
    for i in np.flatnonzero(cut_masked):
        mask = library.read(int(segment[i]), "mask", int(start[i]) + 1, int(start[i] + length[i]))
        targets[i] = np.count_nonzero(mask)
    pieces = Pieces(segment, start, length, targets)
    _check(drawn, pieces, document)
    return pieces


def _masked(segment: NDArray[np.int64], has_mask: Callable[[int], bool]) -> NDArray[np.bool_]:
    numbers, inverse = np.unique(segment, return_inverse=True)
    found: NDArray[np.bool_] = np.array([has_mask(int(number)) for number in numbers], np.bool_)[inverse]
    return found


def _check(drawn: Drawn, pieces: Pieces, document: NDArray[np.int64]) -> None:
    """What no plan may do: drop a target, or count one twice."""
    planned = np.zeros(len(drawn.targets), np.int64)
    np.add.at(planned, document, pieces.targets)
    if (wrong := np.flatnonzero(planned != drawn.targets)).size:
        i = wrong[0]
        raise IntegrityError(
            f"the document at token {drawn.start[i]:,} of segment {drawn.segment[i]:,} has {planned[i]:,} targets by "
            f"its mask, {drawn.targets[i]:,} by its column; its segments are damaged: tokenize again"
        )
