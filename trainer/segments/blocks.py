"""Hashes of blocks of 256 KiB: how they are made, and which blocks of an array are known to be sound."""

import threading
from typing import TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from schemas.segments import BLOCK_BYTES
from trainer.errors import IntegrityError

Ints: TypeAlias = NDArray[np.int64]
HASH_BYTES = 16


def block_hashes(data: memoryview) -> bytes:
    """16 bytes (xxh3_128, big-endian) a block of 256 KiB; the last block may be shorter."""
    return b"".join(
        xxhash.xxh3_128_digest(data[start : start + BLOCK_BYTES]) for start in range(0, len(data), BLOCK_BYTES)
    )


def count_blocks(size: int) -> int:
    """Blocks of `size` bytes."""
    return -(-size // BLOCK_BYTES)


def touched(starts: Ints, stops: Ints, itemsize: int, blocks: int) -> NDArray[np.bool_]:
    """[blocks] True where one of the ranges of elements [start, stop) has bytes; empty ranges touch nothing."""
    filled = stops > starts
    steps = np.zeros(blocks + 1, np.int64)
    np.add.at(steps, starts[filled] * itemsize // BLOCK_BYTES, 1)
    np.subtract.at(steps, (stops[filled] * itemsize - 1) // BLOCK_BYTES + 1, 1)
    return np.cumsum(steps[:-1]) > 0


class Checked:
    """The hashes of one array's blocks, and which of them were found sound. Threads may share it."""

    def __init__(self, path: str, size: int, hashes: bytes) -> None:
        self.path, self.size = path, size
        self._hashes = hashes
        self._sound = np.zeros(count_blocks(size), np.bool_)
        self._left = len(self._sound)
        self._lock = threading.Lock()

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self._sound)

    @property
    def all_sound(self) -> bool:
        """Whether nothing is left to check."""
        return self._left == 0

    def unchecked(self, wanted: NDArray[np.bool_]) -> list[int]:
        """Those of the wanted blocks that are still to be checked, ascending."""
        return [int(block) for block in np.flatnonzero(wanted & ~self._sound)]

    def span(self, block: int) -> tuple[int, int]:
        """The bytes [start, stop) of a block."""
        return block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, self.size)

    def check(self, block: int, data: bytes | memoryview) -> None:
        """Compares a block with the hash that it was sealed with. Two threads that check one block do the same work.

        Raises:
            IntegrityError: It is another one.
        """
        expected = self._hashes[block * HASH_BYTES : (block + 1) * HASH_BYTES]
        found = xxhash.xxh3_128_digest(data)  # without the interpreter's lock, and so is a late page of the file
        if found != expected:
            start, stop = self.span(block)
            raise IntegrityError(
                f"{self.path!r} is damaged: block {block} (bytes {start:,} to {stop:,}) has xxh3_128 {found.hex()}, "
                f"expected {expected.hex()}; remove it and tokenize again, or restore the file from a copy"
            )
        with self._lock:
            self._left -= not self._sound[block]
            self._sound[block] = True
