"""One segment: what its entry says, and parts that do not fit."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from schemas.segments import BLOCK_BYTES, SegmentEntry
from trainer.segments.seal import Documents, seal

TOKENS = np.arange(300_000, dtype=np.uint16)
COLUMNS = pa.table({"id": ["a", "b", "c"], "bytes": pa.array([5, 6, 7], pa.int64())})
SOUND = Documents(tokens=TOKENS, starts=np.array([0, 1, 1000, 300_000]), columns=COLUMNS)


def columns(folder: Path, entry: SegmentEntry) -> pa.Table:
    (array,) = (array for array in entry.arrays if array.name == "columns")
    return pq.read_table(folder / array.path)


def test_the_entry(tmp_path: Path) -> None:
    entry = seal(str(tmp_path), "00007", SOUND)
    assert (entry.documents, entry.tokens, entry.targets, entry.text_bytes) == (3, 300_000, 299_997, 18)
    arrays = [(array.name, array.bytes, array.dtype) for array in entry.arrays]
    size = (tmp_path / entry.arrays[2].path).stat().st_size
    assert arrays == [("tokens", 600_000, "uint16"), ("starts", 32, "int64"), ("columns", size, "uint8")]
    assert (tmp_path / entry.arrays[0].path).read_bytes() == TOKENS.astype("<u2").tobytes()
    assert columns(tmp_path, entry)["targets"].to_pylist() == [0, 998, 298_999]


def test_blocks_are_hashed_in_order(tmp_path: Path) -> None:
    entry = seal(str(tmp_path), "00007", SOUND)
    data = [(tmp_path / array.path).read_bytes() for array in entry.arrays]
    parts = [array[at : at + BLOCK_BYTES] for array in data for at in range(0, len(array), BLOCK_BYTES)]
    assert len(parts) == 5
    assert (tmp_path / entry.blocks).read_bytes() == b"".join(xxhash.xxh3_128_digest(part) for part in parts)


def test_a_mask_counts_targets_but_never_firsts(tmp_path: Path) -> None:
    mask = np.zeros(300_000, np.uint8)
    mask[[0, 1, 500, 1000, 1001, 299_999]] = 1  # 0, 1 and 1000 are first of their documents
    entry = seal(str(tmp_path), "00007", dataclasses.replace(SOUND, mask=mask))
    assert entry.targets == 3
    assert columns(tmp_path, entry)["targets"].to_pylist() == [0, 1, 2]
    assert [array.name for array in entry.arrays] == ["tokens", "starts", "mask", "columns"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokens": TOKENS.astype(np.int64)}, "uint16 or uint32, not int64"),
        ({"starts": np.array([0, 1, 2, 3])}, "from 0 to 3"),
        ({"starts": np.array([1, 1, 2, 300_000])}, "from 1 to 300,000"),
        ({"starts": np.array([0, 9, 2, 300_000])}, "starts rise"),
        ({"starts": np.array([0, 300_000])}, "3 rows of columns for 1 documents"),
        ({"mask": np.ones(5, np.uint8)}, "a mask of 5 uint8 for 300,000 tokens"),
        ({"mask": np.ones(300_000, np.bool_)}, "a mask of 300,000 bool"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, np.ndarray], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        seal(str(tmp_path), "0", dataclasses.replace(SOUND, **change))
    assert list(tmp_path.iterdir()) == []
