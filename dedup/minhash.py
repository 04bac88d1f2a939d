"""Near duplicates by MinHash and banding, equal to the bit to datatrove's for FineWeb and FineWeb-2."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numba
import numpy as np
import xxhash
from numpy.typing import NDArray

from dedup.keepers import KEEPERS, Keep
from dedup.scope import Scope, prefix
from dedup.shingles import Offsets, sha1_hashes, slices, xxh64_hashes
from schemas.records import Document
from schemas.stage import Dedup
from text.normalise import normalise
from text.words import segmenter

MERSENNE_61 = np.uint64((1 << 61) - 1)

_61 = np.uint64(61)
_LARGEST = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NONE = np.empty(0, np.uint64)

Scheme = Literal["fineweb", "fineweb2"]
"""A name of `SCHEMES`."""

SCHEMES: dict[Scheme, Callable[[bytes, Offsets, Offsets], NDArray[np.uint64]]] = {
    "fineweb": sha1_hashes,
    "fineweb2": xxh64_hashes,
}
"""How shingles become 64-bit numbers. All else the two share: normalisation, permutations, banding."""


@dataclass(frozen=True, kw_only=True)
class MinHash(Dedup):
    """Keeps one of each cluster of near-duplicate texts (Penedo et al. 2024, arXiv 2406.17557, section 3.4).

    Normalised text -> words -> shingles of `n_grams` words -> 64-bit hashes x -> for each of `buckets * hashes`
    random (a, b) the least (a x + b mod 2^64) mod (2^61 - 1). Two texts are duplicates where all values of one bucket
    agree, which texts of similarity s do with probability 1 - (1 - s^hashes)^buckets; clusters are the transitive
    closure of that. Fewer words than `n_grams`: no signature, nobody's duplicate.

    Equal to datatrove 0.10.1's `MinhashDedupSignature` with `HashConfig(hash_fc="sha1", precision=64)` (`fineweb`) or
    `hash_fc="xxhash"` (`fineweb2`). One deviation: there, which member stays follows from the order of unions; here
    `keep` says it.
    """

    reasons: ClassVar[tuple[str, ...]] = ("near_duplicate",)
    scheme: Scheme = "fineweb"
    buckets: int = 14
    hashes: int = 8
    n_grams: int = 5
    seed: int = 1
    language: str = ""
    """Whose words: a FineWeb-2 label such as `kor_Hang`, empty for English."""
    scope: tuple[Scope, ...] = ("dump",)
    keep: Keep = "first"

    def __post_init__(self) -> None:
        """Refuses what no signature can be made of."""
        for name in ("buckets", "hashes", "n_grams"):
            if getattr(self, name) < 1:
                raise ValueError(f"minhash.{name} is {getattr(self, name)!r}; it must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"minhash.seed is {self.seed!r}; it must lie within 0 and 2^32 - 1")

    def libraries(self) -> tuple[str, ...]:
        """What decides about words besides our own code."""
        return ("regex", *segmenter(self.language).libraries)

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Itself; a language without a segmenter, or one that isn't installed, is an error here."""
        segmenter(self.language)
        return self

    def signature(self, text: str) -> NDArray[np.uint64] | None:
        """The least values, shape (buckets * hashes,), bucket by bucket; None for fewer than `n_grams` words."""
        words = segmenter(self.language).words(normalise(text))
        if len(words) < self.n_grams:
            return None
        shingles = SCHEMES[self.scheme](*slices(words, self.n_grams))
        return least(shingles, *permutations(self.seed, self.buckets * self.hashes))

    def keys(self, doc: Document) -> NDArray[np.uint64]:
        """A key a bucket, shape (buckets,), or none, shape (0,).

        A key is 64 bits of XXH3 over the scope's values, the bucket's number and its `hashes` values, where datatrove
        compares the values themselves. So two documents may share a key by chance: among n of them (in all scopes
        together) about (n * buckets)^2 / 2^65 pairs do, which is 1 pair in a snapshot of 450 million and 5 in a
        thousand million, each joining two clusters at worst. In return the exchange carries 16 bytes a bucket, not 68.
        """
        signature = self.signature(doc.text)
        if signature is None:
            return _NONE
        head = prefix(doc, self.scope)
        bands = signature.astype("<u8").reshape(self.buckets, self.hashes)
        hashed = (xxhash.xxh3_64_intdigest(head + i.to_bytes(4, "little") + b.tobytes()) for i, b in enumerate(bands))
        return np.fromiter(hashed, np.uint64, self.buckets)

    def priority(self, doc: Document) -> int:
        """See `dedup.keepers`."""
        return KEEPERS[self.keep](doc)


@functools.cache
def permutations(seed: int, count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The factors a in [1, 2^61 - 1) and terms b in [0, 2^61 - 1), each of shape (count,), drawn as datatrove does."""
    generator = np.random.RandomState(seed)  # its streams are frozen by NumPy's policy, unlike Generator's
    a = generator.randint(1, int(MERSENNE_61), dtype=np.uint64, size=count)
    b = generator.randint(0, int(MERSENNE_61), dtype=np.uint64, size=count)
    return a, b


@numba.njit(cache=True)
def least(shingles: NDArray[np.uint64], a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Column minima of (shingles * a + b) % (2^61 - 1), the product and sum wrapping at 2^64; shape as `a`."""
    out = np.empty(a.size, np.uint64)
    for j in range(a.size):
        lowest = _LARGEST
        for i in range(shingles.size):
            value = shingles[i] * a[j] + b[j]
            value = (value & MERSENNE_61) + (value >> _61)  # 2^61 is 1 modulo 2^61 - 1
            if value >= MERSENNE_61:
                value -= MERSENNE_61
            lowest = min(lowest, value)
        out[j] = lowest
    return out
