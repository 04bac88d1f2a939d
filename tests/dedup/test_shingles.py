"""Shingles as slices of one buffer, and their hashes against hashlib and xxhash."""

import hashlib

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.shingles import sha1_hashes, slices, xxh64_hashes

WORDS = {
    "none": [],
    "fewer_than_n": ["a", "b"],
    "exactly_n": ["a", "b", "c"],
    "ascii": ["one", "two", "three", "four"],
    "wide": ["é", "漢字", "🙂x", "y", "ñandú"],
    "blank_inside": ["a b", "c", "d e f", "g"],
    "empty_words": ["", "", "x", ""],
    "lone_surrogate": ["\ud800", "b", "c", "d"],
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("n", [1, 3])
def test_slices_are_the_joined_words(words: list[str], n: int) -> None:
    buffer, starts, ends = slices(words, n)
    expected = [" ".join(words[i : i + n]).encode("utf-8", "surrogatepass") for i in range(len(words) - n + 1)]
    assert [buffer[a:b] for a, b in zip(starts, ends, strict=True)] == expected


def test_sha1_at_every_length_around_its_blocks() -> None:
    data = bytes(i * 7 % 256 for i in range(300))
    starts = np.zeros(200, np.int64) + np.arange(200) % 3
    ends = starts + np.arange(200)  # 55, 56, 63, 64, 119, 120, … are where padding starts another block
    expected = [
        int.from_bytes(hashlib.sha1(data[a:b]).digest()[:8], "little") for a, b in zip(starts, ends, strict=True)
    ]
    assert sha1_hashes(data, starts, ends).tolist() == expected


def test_hashes_of_nothing_and_of_the_empty_shingle() -> None:
    none = np.empty(0, np.int64)
    zero = np.zeros(1, np.int64)
    for hashes in (sha1_hashes, xxh64_hashes):
        assert hashes(b"", none, none).tolist() == []
    assert sha1_hashes(b"", zero, zero).tolist() == [int.from_bytes(hashlib.sha1(b"").digest()[:8], "little")]
    assert xxh64_hashes(b"", zero, zero).tolist() == [xxhash.xxh64_intdigest(b"")]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 6))
def test_any_words_hash_as_the_libraries_do(words: list[str], n: int) -> None:
    shingles = [" ".join(words[i : i + n]).encode("utf-8", "surrogatepass") for i in range(len(words) - n + 1)]
    found = slices(words, n)
    assert sha1_hashes(*found).tolist() == [int.from_bytes(hashlib.sha1(s).digest()[:8], "little") for s in shingles]
    assert xxh64_hashes(*found).tolist() == [xxhash.xxh64_intdigest(s) for s in shingles]
