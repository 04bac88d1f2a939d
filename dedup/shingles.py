"""Shingles (n words in a row, joined by a blank) and their 64-bit hashes.

A document's words are laid into one buffer of bytes, a blank between two; a shingle is a slice of it. SHA-1 runs over
the slices in compiled code: hashlib costs 0.6 to 0.9 µs a shingle, nearly all of it the making of the object.
"""

from collections.abc import Sequence

import numba
import numpy as np
import xxhash
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


def slices(words: Sequence[str], n: int) -> tuple[bytes, Offsets, Offsets]:
    """Where each shingle lies in the joined words.

    Args:
      words: a document's words; lone surrogates are let through.
      n: words a shingle.

    Returns:
      The UTF-8 bytes of all words joined by blanks, and start and end of each shingle in them, both of shape
      (max(len(words) - n + 1, 0),).
    """
    joined = " ".join(words)
    buffer = joined.encode("utf-8", "surrogatepass")
    # In ASCII a character is a byte, so words need not be encoded one by one
    sized: Sequence[str | bytes] = words
    if len(buffer) != len(joined):
        sized = [word.encode("utf-8", "surrogatepass") for word in words]
    lengths = np.fromiter(map(len, sized), np.int64, len(words))
    ends = np.cumsum(lengths + 1) - 1
    return buffer, (ends - lengths)[: max(len(words) - n + 1, 0)], ends[n - 1 :]


def sha1_hashes(buffer: bytes, starts: Offsets, ends: Offsets) -> NDArray[np.uint64]:
    """The first 8 bytes of each slice's SHA-1 (FIPS 180-4), little endian; shape as `starts`."""
    return _sha1(np.frombuffer(buffer, np.uint8), starts, ends)


def xxh64_hashes(buffer: bytes, starts: Offsets, ends: Offsets) -> NDArray[np.uint64]:
    """XXH64 of each slice, seed 0; shape as `starts`."""
    view = memoryview(buffer)
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    return np.fromiter((xxhash.xxh64_intdigest(view[a:b]) for a, b in pairs), np.uint64, len(starts))


# numba widens uint32 sums to 64 bits, hence the casts back after each; LLVM makes plain 32-bit code of them.


@numba.njit(inline="always")
def _rotate(x, n):  # type: ignore[no-untyped-def]
    return np.uint32((x << np.uint32(n)) | (x >> np.uint32(32 - n)))


@numba.njit(inline="always")
def _swap(x):  # type: ignore[no-untyped-def]
    x = ((x & np.uint32(0x00FF00FF)) << np.uint32(8)) | ((x >> np.uint32(8)) & np.uint32(0x00FF00FF))
    return np.uint64(np.uint32((x << np.uint32(16)) | (np.uint32(x) >> np.uint32(16))))


@numba.njit(cache=True)
def _load(buffer: Bytes, start: int, size: int, block: int, words: NDArray[np.uint32]) -> None:
    """Fills `words` with the padded message's block, 16 big-endian words, and expands them to 80."""
    for i in range(16):
        at = block * 64 + i * 4
        word = np.uint32(0)
        for k in range(at, at + 4):
            byte = np.uint32(0)
            if k < size:
                byte = np.uint32(buffer[start + k])
            elif k == size:
                byte = np.uint32(0x80)
            word = np.uint32((word << np.uint32(8)) | byte)
        words[i] = word
    if size + 9 <= (block + 1) * 64:  # the last block ends with the size in bits
        words[14] = np.uint32((size * 8) >> 32)
        words[15] = np.uint32(size * 8)
    for i in range(16, 80):
        words[i] = _rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1)


@numba.njit(cache=True)
def _compress(state: NDArray[np.uint32], words: NDArray[np.uint32]) -> None:
    """One block's 80 rounds."""
    a, b, c, d, e = state[0], state[1], state[2], state[3], state[4]
    for i in range(20):
        f = (b & c) | (~b & d)
        t = np.uint32(_rotate(a, 5) + f + e + np.uint32(0x5A827999) + words[i])
        e, d, c, b, a = d, c, _rotate(b, 30), a, t
    for i in range(20, 40):
        t = np.uint32(_rotate(a, 5) + (b ^ c ^ d) + e + np.uint32(0x6ED9EBA1) + words[i])
        e, d, c, b, a = d, c, _rotate(b, 30), a, t
    for i in range(40, 60):
        f = (b & c) | (b & d) | (c & d)
        t = np.uint32(_rotate(a, 5) + f + e + np.uint32(0x8F1BBCDC) + words[i])
        e, d, c, b, a = d, c, _rotate(b, 30), a, t
    for i in range(60, 80):
        t = np.uint32(_rotate(a, 5) + (b ^ c ^ d) + e + np.uint32(0xCA62C1D6) + words[i])
        e, d, c, b, a = d, c, _rotate(b, 30), a, t
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


@numba.njit(cache=True)
def _sha1(buffer: Bytes, starts: Offsets, ends: Offsets) -> NDArray[np.uint64]:
    out = np.empty(starts.size, np.uint64)
    words = np.empty(80, np.uint32)
    state = np.empty(5, np.uint32)
    for i in range(starts.size):
        size = ends[i] - starts[i]
        state[0], state[1], state[2] = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
        state[3], state[4] = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
        for block in range((size + 8) // 64 + 1):
            _load(buffer, starts[i], size, block, words)
            _compress(state, words)
        out[i] = _swap(state[0]) | (_swap(state[1]) << np.uint64(32))
    return out
