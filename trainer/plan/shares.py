"""Shares of documents by hash, and which are held out: decided by a document's id alone, so alike in every run.

A document's place in a source's `share` is its `id_hash` (xxh3_64 of the id, seed 0) as a fraction of 2^64. Whether it
is held out is decided by another hash, xxh3_64 with seed 1 of `id_hash`'s eight bytes (little-endian), so that every
share has its part of the held-out documents.
"""

import numpy as np
from numpy.typing import NDArray

_SECRET = np.uint64(0x1CAD21F72C81017C ^ 0xDB979083E96DD4DE)  # bytes 8-24 of XXH3's default secret
_SEED = 1
_PRIME = np.uint64(0x9FB21C651E98DF25)


def in_share(id_hash: NDArray[np.uint64], share: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether each document's hash, as a fraction, lies in [from, to)."""
    return _from(id_hash, share[0]) & ~_from(id_hash, share[1])


def is_held_out(id_hash: NDArray[np.uint64], held_out: float) -> NDArray[np.bool_]:
    """Whether each document is one that no stage trains on, for a share `held_out` of all."""
    return ~_from(_rehashed(id_hash), held_out)


def _from(hashes: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    """Whether hashes are at least a fraction of 2^64; none is where the fraction is 1."""
    if fraction >= 1:
        return np.zeros(len(hashes), np.bool_)
    found: NDArray[np.bool_] = hashes >= np.uint64(int(fraction * 2**64))
    return found


def _rehashed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """xxh3_64 with seed 1 of each hash's eight bytes, as XXH3 hashes inputs of 4 to 8 bytes (specification 0.1.1)."""
    seed = np.uint64(_SEED ^ (int.from_bytes(_SEED.to_bytes(4, "little"), "big") << 32))
    low, high = hashes & np.uint64(0xFFFFFFFF), hashes >> np.uint64(32)
    mixed = (high + (low << np.uint64(32))) ^ (_SECRET - seed)
    mixed ^= _rotated(mixed, 49) ^ _rotated(mixed, 24)
    mixed *= _PRIME
    mixed ^= (mixed >> np.uint64(35)) + np.uint64(8)  # 8: the input's length
    mixed *= _PRIME
    found: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(28))
    return found


def _rotated(values: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = (values << np.uint64(bits)) | (values >> np.uint64(64 - bits))
    return found
