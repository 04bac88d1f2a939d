"""The one exchange between documents and matches: files of (key, row), ordered by key, read by ranges of keys.

A task writes one file; a range's task reads its slice of every file, with one ranged read for a small file and two
for a large one. Keys are hashes, so 4,096 fixed fences (a key's top 12 bits) cut them evenly enough; a range is a
union of neighbouring fences, chosen from the actual counts.

A file, all numbers little endian:

    0   8  magic `GRISTSIG`
    8   4  version (1)
    12  4  bits g: records lie in 2^g groups by their keys' top g bits, g <= 12
    16  8  rows
    24  8  XXH3-64 of bytes 0 to 24 and of the index
    32     index, 8 bytes a group: rows (4), low half of XXH3-64 of its records, seeded with its number (4)
    ..     records, 16 bytes each: key (8), row or document number (8), ordered by (key, row)

g grows with the rows (about 64 a group), so that a small file is not mostly index. Everything a slice is read from is
verified: header and index by their checksum, each group that is touched by its own; so a file that was cut, spoilt or
mixed up is an error and no silent loss of duplicates.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from storage.paths import read_range

MAGIC = b"GRISTSIG"
FENCE_BITS = 12
FENCES = 1 << FENCE_BITS
ROW_BYTES = 16

_HEAD = struct.Struct("<8sIIQQ")
_UNCHECKED = _HEAD.size - 8
_GROUP = np.dtype([("rows", "<u4"), ("check", "<u4")])
_ROWS_A_GROUP = 64
_FIRST_READ = _HEAD.size + FENCES * _GROUP.itemsize

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class CorruptFileError(ValueError):
    """A signature file whose bytes are not what was written."""


class SignatureWriter:
    """Collects the keys of a task's documents; some 60 bytes of memory a key in the end."""

    def __init__(self) -> None:
        self._keys: list[Keys] = []
        self._rows: list[int] = []

    def add(self, row: int, keys: Keys) -> None:
        """Adds a document's keys, shape (n_keys,); `row` is its place in the task's output."""
        if keys.size:
            self._keys.append(keys)
            self._rows.append(row)

    def write(self, file: BinaryIO) -> NDArray[np.int64]:
        """Writes the file: the same documents give the same bytes, whatever order they came in.

        Returns:
          Pairs a fence, shape (4096,): what `ranges` wants, summed over all tasks.
        """
        rows = np.repeat(np.array(self._rows, np.int64), [keys.size for keys in self._keys])
        keys = np.concatenate([np.empty(0, np.uint64), *self._keys])
        file.write(encode(keys, rows))
        return fence_counts(keys)


def encode(keys: Keys, rows: Numbers) -> bytearray:
    """A signature file of these pairs, both of shape (pairs,), in any order."""
    order = np.lexsort((rows, keys))
    bits = min((len(order) // _ROWS_A_GROUP).bit_length(), FENCE_BITS)
    begin = _HEAD.size + (_GROUP.itemsize << bits)
    out = bytearray(begin + ROW_BYTES * len(order))
    records = np.frombuffer(out, "<u8", offset=begin).reshape(-1, 2)
    records[:, 0] = keys[order]
    records[:, 1] = rows[order].astype(np.uint64)
    starts = _starts(records[:, 0], bits)
    index = np.empty(1 << bits, _GROUP)
    index["rows"] = np.diff(starts)
    index["check"] = [_check(records[starts[g] : starts[g + 1]].data, g) for g in range(1 << bits)]
    _HEAD.pack_into(out, 0, MAGIC, 1, bits, len(order), 0)
    out[_HEAD.size : begin] = index.tobytes()
    out[_UNCHECKED : _HEAD.size] = _head_check(out, begin).to_bytes(8, "little")
    return out


def _starts(sorted_keys: Keys, bits: int) -> NDArray[np.int64]:
    """Where each of the 2^bits groups begins, and the end: shape (2^bits + 1,)."""
    fences = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else np.empty(0, np.uint64)
    return np.concatenate([[0], np.searchsorted(sorted_keys, fences), [len(sorted_keys)]])


def _check(records: memoryview, group: int) -> int:
    return xxhash.xxh3_64_intdigest(records, seed=group) & 0xFFFF_FFFF


def _head_check(data: bytes | bytearray, begin: int) -> int:
    return xxhash.xxh3_64_intdigest(data[:_UNCHECKED] + data[_HEAD.size : begin])


@dataclass(frozen=True, slots=True)
class _Index:
    """A file's verified head, and the bytes that were read with it."""

    path: str
    bits: int
    starts: NDArray[np.int64]
    """Record at which each group begins, and the end."""
    checks: NDArray[np.uint32]
    body: bytes
    """The first records, as far as the first read reached."""


def _open(path: str) -> _Index:
    """Reads and verifies head and index.

    Raises:
      CorruptFileError: they are not as they were written.
    """
    data = read_range(path, 0, _FIRST_READ)
    if len(data) < _HEAD.size:
        raise CorruptFileError(f"{path}: {len(data)} bytes are no signature file; delete it and run again")
    magic, version, bits, rows, check = _HEAD.unpack_from(data)
    end = _HEAD.size + (_GROUP.itemsize << min(bits, FENCE_BITS))
    if magic != MAGIC or version != 1 or bits > FENCE_BITS:
        raise CorruptFileError(
            f"{path} begins with {data[:16]!r}, which is no signature file of this version; delete it and run again"
        )
    found = _head_check(data, end)
    index = np.frombuffer(data[_HEAD.size : end].ljust(end - _HEAD.size, b"\0"), _GROUP)
    starts = np.concatenate([[0], np.cumsum(index["rows"], dtype=np.int64)])
    if found != check or starts[-1] != rows:
        raise CorruptFileError(
            f"{path}: its index has checksum {found:#018x}, not {check:#018x}; delete it and run again"
        )
    return _Index(path, bits, starts, index["check"], data[end:])


def _groups(index: _Index, first: int, last: int) -> tuple[Keys, Numbers]:
    """The verified records of groups [first, last)."""
    low, high = (int(index.starts[g]) * ROW_BYTES for g in (first, last))
    data = memoryview(index.body)[low:high]
    if len(data) < high - low:
        begin = _HEAD.size + (_GROUP.itemsize << index.bits)
        data = memoryview(read_range(index.path, begin + low, high - low))
    for group in range(first, last):
        a, b = (int(index.starts[g]) * ROW_BYTES - low for g in (group, group + 1))
        if _check(data[a:b], group) != index.checks[group]:
            raise CorruptFileError(
                f"{index.path}: group {group} of {1 << index.bits}, bytes {a + low} to {b + low} of the records, does "
                f"not have the checksum {index.checks[group]:#010x}; delete the file and run again"
            )
    records = np.frombuffer(data, "<u8").reshape(-1, 2)
    return records[:, 0].astype(np.uint64), records[:, 1].astype(np.int64)


def read_slice(path: str, a: int, b: int) -> tuple[Keys, Numbers]:
    """The pairs whose keys lie within fences [a, b), ordered by (key, row).

    Args:
      path: a signature file, local or a URL.
      a: the first fence, 0 to 4,096.
      b: the fence behind the last one.

    Returns:
      Keys and rows, each of shape (pairs,).

    Raises:
      CorruptFileError: what was read is not what was written.
      ValueError: a and b are no range of fences.
    """
    if not 0 <= a <= b <= FENCES:
        raise ValueError(f"[{a!r}, {b!r}) is no range of fences; they are numbered 0 to {FENCES}")
    index = _open(path)
    shift = FENCE_BITS - index.bits
    keys, rows = _groups(index, a >> shift, -(-b >> shift) if b > a else a >> shift)
    low = np.searchsorted(keys, np.uint64(a << (64 - FENCE_BITS))) if a < FENCES else len(keys)
    high = np.searchsorted(keys, np.uint64(b << (64 - FENCE_BITS))) if b < FENCES else len(keys)
    return keys[low:high], rows[low:high]


def fence_counts(keys: Keys) -> NDArray[np.int64]:
    """Pairs a fence, shape (4096,)."""
    return np.bincount((keys >> np.uint64(64 - FENCE_BITS)).astype(np.int64), minlength=FENCES)


def ranges(counts: NDArray[np.int64], target_rows: int) -> list[tuple[int, int]]:
    """Cuts the fences into ranges of about equal work.

    Args:
      counts: pairs a fence over all files, shape (4096,).
      target_rows: what a range may hold; only a single fence that holds more exceeds it.

    Returns:
      Ranges [a, b) of fences, without gaps, from 0 to 4096. One range where there is nothing.

    Raises:
      ValueError: counts of another shape, or a target below 1.
    """
    if counts.shape != (FENCES,) or target_rows < 1:
        raise ValueError(f"counts of shape {counts.shape!r}, target_rows {target_rows!r}: ({FENCES},) and 1 are needed")
    # As few ranges as the target allows, then all of about the same size
    total = int(counts.sum())
    wanted = min(max(-(-total // target_rows), 1), FENCES)
    size = max(-(-total // wanted), 1)
    cut, held, out = 0, 0, []
    for fence, rows in enumerate(counts.tolist()):
        if held and rows and (held >= size or held + rows > target_rows):
            out.append((cut, fence))
            cut, held = fence, 0
        held += rows
    return [*out, (cut, FENCES)]
