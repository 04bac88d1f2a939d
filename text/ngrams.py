"""How much of a text its repeated word n-grams take up, as Gopher's repetition rules count it.

Source: `find_top_duplicate` and `find_all_duplicate` of datatrove 0.10.1 (Gopher: Rae et al. 2021, table A1). The words
are written once into one array of code points; then every n-gram is a slice of it, found by the difference of two
prefix hashes and compared character by character before it counts as equal: the figures are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from text.compiled import kernel

__all__ = ["Ngrams", "duplicate_ngram_chars", "top_ngram_chars"]

Codes: TypeAlias = NDArray[np.uint32]
Offsets: TypeAlias = NDArray[np.int64]
Hashes: TypeAlias = NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_ONE, _SHIFT = np.uint64(1), np.uint64(29)


@kernel
def _prefix_hashes(codes: Codes) -> tuple[Hashes, Hashes]:
    """Returns the polynomial hash of every prefix and the base's powers, both `(len(codes) + 1,)`, modulo 2^64."""
    hashes = np.zeros(len(codes) + 1, np.uint64)
    powers = np.ones(len(codes) + 1, np.uint64)
    for i in range(len(codes)):
        hashes[i + 1] = hashes[i] * _BASE + np.uint64(codes[i]) + _ONE
        powers[i + 1] = powers[i] * _BASE
    return hashes, powers


@kernel
def _ngrams(starts: Offsets, ends: Offsets, hashes: Hashes, powers: Hashes, n: int) -> tuple[Offsets, Hashes, Offsets]:
    """Returns each n-gram's length and hash, `(words - n + 1,)`, and an empty table for them, all -1."""
    count = len(starts) - n + 1
    lengths = np.empty(count, np.int64)
    keys = np.empty(count, np.uint64)
    for i in range(count):
        start, end = starts[i], ends[i + n - 1]
        lengths[i] = end - start
        key = (hashes[end] - hashes[start] * powers[end - start]) * _MIX
        keys[i] = key ^ (key >> _SHIFT)
    size = 1
    while size < 2 * count:
        size *= 2
    return lengths, keys, np.full(size, -1, np.int64)


@kernel
def _slot(table: Offsets, keys: Hashes, lengths: Offsets, starts: Offsets, codes: Codes, i: int) -> np.int64:
    """Returns where in `table` the n-gram `i` stands already, or else the empty slot that is its."""
    mask = len(table) - 1
    slot = np.int64(keys[i] & np.uint64(mask))
    while table[slot] >= 0:
        j = table[slot]
        if keys[j] == keys[i] and lengths[j] == lengths[i]:
            a, b, left = starts[i], starts[j], lengths[i]
            while left > 0 and codes[a] == codes[b]:
                a, b, left = a + 1, b + 1, left - 1
            if left == 0:
                break
        slot = (slot + 1) & mask
    return slot


@kernel
def _top(codes: Codes, starts: Offsets, ends: Offsets, hashes: Hashes, powers: Hashes, n: int) -> int:
    lengths, keys, table = _ngrams(starts, ends, hashes, powers, n)
    counts = np.zeros(len(lengths), np.int64)
    for i in range(len(lengths)):
        slot = _slot(table, keys, lengths, starts, codes, i)
        if table[slot] < 0:
            table[slot] = i
        counts[table[slot]] += 1
    best = np.argmax(counts)  # the first of equal ones, and `counts` is in the order of first sight
    return lengths[best] * counts[best]


@kernel
def _duplicate(codes: Codes, starts: Offsets, ends: Offsets, hashes: Hashes, powers: Hashes, n: int) -> int:
    lengths, keys, table = _ngrams(starts, ends, hashes, powers, n)
    chars = 0
    i = 0
    while i < len(lengths):
        slot = _slot(table, keys, lengths, starts, codes, i)
        if table[slot] < 0:
            table[slot] = i
            i += 1
        else:
            chars += lengths[i]
            i += n
    return chars


@dataclass(frozen=True, kw_only=True)
class _Joined:
    """Words joined to one string: its code points, where each word starts and ends in it, and its prefix hashes."""

    codes: Codes
    starts: Offsets
    ends: Offsets
    hashes: Hashes
    powers: Hashes

    @classmethod
    def by(cls, separator: str, words: Sequence[str]) -> Self:
        codes = np.frombuffer(separator.join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        ends = np.cumsum(lengths + len(separator)) - len(separator)
        hashes, powers = _prefix_hashes(codes)
        return cls(codes=codes, starts=ends - lengths, ends=ends, hashes=hashes, powers=powers)


class Ngrams:
    """The n-grams of one text's words; the words are encoded once for all n."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    @cached_property
    def _spaced(self) -> _Joined:
        return _Joined.by(" ", self._words)

    @cached_property
    def _plain(self) -> _Joined:
        return _Joined.by("", self._words)

    def _has(self, n: int) -> bool:
        if n < 1:
            raise ValueError(f"an n-gram of {n!r} words: give 1 or more")
        return n <= len(self._words)

    def top_chars(self, n: int) -> int:
        """Returns the length of the most frequent n-gram, words joined by a space, times its count.

        Of equally frequent ones the first in the text counts; a count of 1 still counts. 0 below n words.
        """
        if not self._has(n):
            return 0
        text = self._spaced
        return int(_top(text.codes, text.starts, text.ends, text.hashes, text.powers, n))

    def duplicate_chars(self, n: int) -> int:
        """Returns the characters of the n-grams that came before, words joined by nothing; after one, n words on.

        Joined so, `ab c` and `a bc` are equal, as in the reference. 0 below n words.
        """
        if not self._has(n):
            return 0
        text = self._plain
        return int(_duplicate(text.codes, text.starts, text.ends, text.hashes, text.powers, n))


def top_ngram_chars(words: Sequence[str], n: int) -> int:
    """Returns `Ngrams(words).top_chars(n)`; for several n of one text, keep the `Ngrams`."""
    return Ngrams(words).top_chars(n)


def duplicate_ngram_chars(words: Sequence[str], n: int) -> int:
    """Returns `Ngrams(words).duplicate_chars(n)`; for several n of one text, keep the `Ngrams`."""
    return Ngrams(words).duplicate_chars(n)
