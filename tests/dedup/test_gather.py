"""Gathering: fewer files, the same pairs."""

from pathlib import Path

import numpy as np
import pytest

from dedup.exchange import FENCES, CorruptFileError, encode, read_slice
from dedup.gather import gather, groups
from dedup.match import edges

GROUPS = {
    "no_files": ((0, 8, 100), []),
    "few_enough": ((3, 8, 100), [1, 1, 1]),
    "at_the_limit": ((12, 8, 100), [1] * 12),
    "above_it": ((13, 8, 100), [1] * 11 + [2]),
    "all_in_one": ((5, 100, 100), [5]),
    "no_ranges": ((2, 0, 100), [1, 1]),
}


def test_groups() -> None:
    for case, ((files, n_ranges, max_reads), sizes) in GROUPS.items():
        found = groups(files, n_ranges, max_reads=max_reads)
        assert [i for group in found for i in group] == list(range(files)), case
        assert sorted(len(group) for group in found) == sizes, case
        assert len(found) * n_ranges <= max_reads, case


def test_a_snapshots_groups() -> None:
    found = groups(360_000, 1024)
    assert len(found) * 1024 <= 1_000_000
    assert {len(group) for group in found} == {368, 369}


def test_more_ranges_than_reads() -> None:
    with pytest.raises(ValueError, match="101 ranges"):
        groups(1, 101, max_reads=100)


@pytest.fixture
def files(tmp_path: Path) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(3)
    paths, bases = [], [0]
    for i, rows in enumerate((40, 0, 700, 1)):
        path = tmp_path / f"{i}.bin"
        path.write_bytes(encode(rng.integers(0, 50, rows, dtype=np.uint64) << np.uint64(57), rng.permutation(rows)))
        paths.append(str(path))
        bases.append(bases[-1] + rows)
    return paths, bases[:-1]


def test_a_gathered_file_gives_what_its_files_give(tmp_path: Path, files: tuple[list[str], list[int]]) -> None:
    paths, bases = files
    made = gather(paths, bases, str(tmp_path / "gathered"))
    one = str(tmp_path / "gathered" / made.name)
    assert gather(paths, bases, str(tmp_path / "again")) == made
    for a, b in ((0, FENCES), (0, 700), (700, 3000)):
        each = [
            (keys, rows + base)
            for path, base in zip(paths, bases, strict=True)
            for keys, rows in [read_slice(path, a, b)]
        ]
        keys, numbers = read_slice(one, a, b)
        expected = sorted((int(k), int(n)) for ks, ns in each for k, n in zip(ks, ns, strict=True))
        assert list(zip(keys.tolist(), numbers.tolist(), strict=True)) == expected
        assert edges([(keys, numbers)]).tolist() == edges(each).tolist()


def test_nothing_gathered(tmp_path: Path) -> None:
    made = gather([], [], str(tmp_path))
    assert [column.tolist() for column in read_slice(str(tmp_path / made.name), 0, FENCES)] == [[], []]


def test_a_spoilt_file_is_not_gathered(tmp_path: Path, files: tuple[list[str], list[int]]) -> None:
    paths, bases = files
    spoilt = Path(paths[2])
    data = bytearray(spoilt.read_bytes())
    data[-5] ^= 1
    spoilt.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"2\.bin: group"):
        gather(paths, bases, str(tmp_path / "gathered"))
    assert not (tmp_path / "gathered").exists()


def test_a_base_for_each_file(tmp_path: Path, files: tuple[list[str], list[int]]) -> None:
    with pytest.raises(ValueError, match="zip"):
        gather(files[0], [0], str(tmp_path))
