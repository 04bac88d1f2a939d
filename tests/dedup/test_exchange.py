"""The exchange's files: what is written comes back by any range of fences, and no spoilt byte passes."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import exchange
from dedup.exchange import FENCES, CorruptFileError, SignatureWriter, encode, fence_counts, ranges, read_slice

TOP = 1 << 64


def pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n pairs with some keys twice, at both ends and on fences."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, TOP, n, dtype=np.uint64)
    edges = [0, TOP - 1, 1 << 52, (1 << 52) - 1, 2048 << 52, (2048 << 52) - 1]
    keys[: len(edges)] = np.array(edges, np.uint64)[:n]
    keys[n // 2 : n // 2 + n // 8] = keys[: n // 8]
    return keys, rng.permutation(n).astype(np.int64)


def within(keys: np.ndarray, rows: np.ndarray, a: int, b: int) -> list[tuple[int, int]]:
    fences = (keys >> np.uint64(52)).astype(np.int64)
    inside = (fences >= a) & (fences < b)
    return sorted(zip(keys[inside].tolist(), rows[inside].tolist(), strict=True))


def write(path: Path, keys: np.ndarray, rows: np.ndarray) -> str:
    path.write_bytes(encode(keys, rows))
    return str(path)


SIZES = {"empty": 0, "one": 1, "one_group": 63, "two_groups": 64, "small": 700, "all_groups": 140_000}
SLICES = [
    (0, FENCES),
    (0, 1),
    (1, 2),
    (FENCES - 1, FENCES),
    (0, 0),
    (FENCES, FENCES),
    (5, 5),
    (100, 2049),
    (2047, 2048),
]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_slices(tmp_path: Path, size: int) -> None:
    keys, rows = pairs(size)
    path = write(tmp_path / "f", keys, rows)
    for a, b in SLICES:
        found = read_slice(path, a, b)
        assert list(zip(*(column.tolist() for column in found), strict=True)) == within(keys, rows, a, b), (a, b)
        assert [column.dtype for column in found] == [np.uint64, np.int64]


def test_ranged_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[int, int]] = []

    def counted(path: str, start: int, length: int) -> bytes:
        reads.append((start, length))
        return Path(path).read_bytes()[start : start + length]

    monkeypatch.setattr(exchange, "read_range", counted)
    small, large = (write(tmp_path / str(n), *pairs(n)) for n in (700, 140_000))
    read_slice(small, 7, 3000)
    assert len(reads) == 1
    reads.clear()
    keys, _ = read_slice(large, 7, 40)
    assert len(reads) == 2
    assert reads[1][1] == 16 * len(keys)


def test_layout(tmp_path: Path) -> None:
    """The bytes of the smallest file, as the docstring has them."""
    data = encode(np.array([5, 3], np.uint64), np.array([1, 9], np.int64))
    assert data[:8] == b"GRISTSIG"
    assert [int.from_bytes(data[a:b], "little") for a, b in ((8, 12), (12, 16), (16, 24), (32, 36))] == [1, 0, 2, 2]
    assert np.frombuffer(data, "<u8", offset=40).tolist() == [3, 9, 5, 1]


SPOILT_SIZE = 1500


@pytest.mark.parametrize("size", [0, 3, SPOILT_SIZE])
def test_every_spoilt_byte_is_found(tmp_path: Path, size: int) -> None:
    data = encode(*pairs(size))
    path = tmp_path / "f"
    places = range(len(data)) if size < SPOILT_SIZE else [*range(400), *range(400, len(data), 131), len(data) - 1]
    for at in places:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(CorruptFileError, match="delete"):
            read_slice(str(path), 0, FENCES)


@pytest.mark.parametrize("size", [0, SPOILT_SIZE, 140_000])
def test_every_cut_is_found(tmp_path: Path, size: int) -> None:
    data = bytes(encode(*pairs(size)))
    path = tmp_path / "f"
    for length in {0, 1, 31, 32, 39, len(data) // 2, len(data) - 16, len(data) - 1} - {len(data)}:
        if 0 <= length < len(data):
            path.write_bytes(data[:length])
            with pytest.raises(CorruptFileError, match="delete"):
                read_slice(str(path), 0, FENCES)


def test_swapped_groups_are_found(tmp_path: Path) -> None:
    """Groups of equal size changed places: their bytes are whole, but they are not where they belong."""
    keys = np.array([1, (1 << 63) + 1] * 40, np.uint64)
    data = encode(keys, np.arange(80))
    half = 40 * 16
    swapped = data[: -2 * half] + data[-half:] + data[-2 * half : -half]
    assert len(swapped) == len(data)
    (tmp_path / "f").write_bytes(swapped)
    with pytest.raises(CorruptFileError, match="group 0 of 2"):
        read_slice(str(tmp_path / "f"), 0, FENCES)


def test_a_slice_verifies_what_it_reads(tmp_path: Path) -> None:
    keys, rows = pairs(140_000)
    data = encode(keys, rows)
    data[-1] ^= 1
    (tmp_path / "f").write_bytes(data)
    assert len(read_slice(str(tmp_path / "f"), 0, FENCES - 1)[0]) == len(within(keys, rows, 0, FENCES - 1))
    with pytest.raises(CorruptFileError, match=f"group {FENCES - 1} of {FENCES}"):
        read_slice(str(tmp_path / "f"), FENCES - 1, FENCES)


def test_another_files_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"PAR1" * 20)
    with pytest.raises(CorruptFileError, match="PAR1PAR1"):
        read_slice(str(tmp_path / "f"), 0, 1)


@pytest.mark.parametrize(("a", "b"), [(-1, 3), (3, 2), (0, FENCES + 1)])
def test_no_range_of_fences(tmp_path: Path, a: int, b: int) -> None:
    with pytest.raises(ValueError, match="no range of fences"):
        read_slice(str(tmp_path / "missing"), a, b)


def test_writer_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    documents = {0: [9, 1 << 60], 1: [], 2: [9], 5: [TOP - 1]}
    files = []
    for order in ([0, 1, 2, 5], [5, 2, 1, 0]):
        writer = SignatureWriter()
        for row in order:
            writer.add(row, np.array(documents[row], np.uint64))
        file = io.BytesIO()
        counts = writer.write(file)
        assert {int(f): int(counts[f]) for f in np.flatnonzero(counts)} == {0: 2, 256: 1, FENCES - 1: 1}
        files.append(file.getvalue())
    assert files[0] == files[1]
    (tmp_path / "f").write_bytes(files[0])
    keys, rows = read_slice(str(tmp_path / "f"), 0, FENCES)
    assert (keys.tolist(), rows.tolist()) == ([9, 9, 1 << 60, TOP - 1], [0, 2, 0, 5])


def test_a_writer_of_nothing(tmp_path: Path) -> None:
    file = io.BytesIO()
    counts = SignatureWriter().write(file)
    assert (counts.shape, int(counts.sum())) == ((FENCES,), 0)
    (tmp_path / "f").write_bytes(file.getvalue())
    assert [column.tolist() for column in read_slice(str(tmp_path / "f"), 0, FENCES)] == [[], []]


def spread(**rows: int) -> np.ndarray:
    counts = np.zeros(FENCES, np.int64)
    for fence, n in rows.items():
        counts[int(fence[1:])] = n
    return counts


RANGES = {
    "nothing": (spread(), 10, [(0, FENCES)]),
    "below_target": (spread(f3=4, f9=5), 10, [(0, FENCES)]),
    "at_target": (spread(f3=5, f9=5), 10, [(0, FENCES)]),
    "above_target": (spread(f3=5, f9=6), 10, [(0, 9), (9, FENCES)]),
    "a_fence_above_target": (spread(f3=1, f4=50, f5=1), 10, [(0, 4), (4, 5), (5, FENCES)]),
    "the_first_fence": (spread(f0=50), 10, [(0, FENCES)]),
    "the_last_fence": (spread(f4094=1, f4095=50), 10, [(0, 4095), (4095, FENCES)]),
    "evenly": (np.ones(FENCES, np.int64), 1024, [(0, 1024), (1024, 2048), (2048, 3072), (3072, FENCES)]),
    "evenly_below_target": (np.ones(FENCES, np.int64), 4095, [(0, 2048), (2048, FENCES)]),
}


@pytest.mark.parametrize(("counts", "target", "expected"), RANGES.values(), ids=RANGES)
def test_ranges(counts: np.ndarray, target: int, expected: list[tuple[int, int]]) -> None:
    assert ranges(counts, target) == expected


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.integers(0, FENCES - 1), st.integers(0, 100), max_size=50), st.integers(1, 200))
def test_any_ranges_cover_all_and_keep_to_the_target(rows: dict[int, int], target: int) -> None:
    counts = np.zeros(FENCES, np.int64)
    counts[list(rows)] = list(rows.values())
    found = ranges(counts, target)
    assert [a for a, _ in found] == [0, *(b for _, b in found[:-1])]
    assert found[-1][1] == FENCES
    assert all(a < b for a, b in found)
    assert all(counts[a:b].sum() <= target or np.count_nonzero(counts[a:b]) == 1 for a, b in found)


@pytest.mark.parametrize(("counts", "target"), [(np.zeros(3, np.int64), 1), (spread(), 0)])
def test_ranges_refuse(counts: np.ndarray, target: int) -> None:
    with pytest.raises(ValueError, match="are needed"):
        ranges(counts, target)


def test_fence_counts() -> None:
    keys, _ = pairs(5000)
    counted = Counter(key >> 52 for key in keys.tolist())
    assert fence_counts(keys).tolist() == [counted[fence] for fence in range(FENCES)]
