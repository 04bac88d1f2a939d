"""Which rows of a task a dedup stage left: bits and cluster rows, cut out for any base."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.keep import Kept
from curation.match import CLUSTER_TABLE
from schemas.records import Document
from tests.curation.test_documents import write

TOTAL = 40
MEMBERS = {3: (3, 3), 9: (3, 3), 17: (3, 3), 20: (20, 2), 39: (20, 2)}
"""Number -> (keeper, size), of a level's 40 documents."""
DROPPED = {9, 17, 39}


@pytest.fixture
def level(tmp_path: Path) -> tuple[str, str]:
    """Bits and clusters of the level."""
    bits = np.packbits([i not in DROPPED for i in range(TOTAL)], bitorder="little")
    (tmp_path / "bits").write_bytes(bits.tobytes())
    columns = [list(MEMBERS), [k for k, _ in MEMBERS.values()], [s for _, s in MEMBERS.values()]]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CLUSTER_TABLE, strict=True)]
    pq.write_table(pa.table(arrays, schema=CLUSTER_TABLE), tmp_path / "clusters", row_group_size=2)
    return str(tmp_path / "bits"), str(tmp_path / "clusters")


@pytest.mark.parametrize(("base", "rows"), [(0, 40), (0, 7), (3, 1), (5, 20), (8, 8), (9, 1), (33, 7), (40, 0)])
def test_a_tasks_slice(base: int, rows: int, level: tuple[str, str]) -> None:
    kept = Kept("docs", rows, base, *level)
    numbers = range(base, base + rows)
    mask, sizes = kept.mask_and_sizes()
    assert mask is not None
    assert sizes is not None
    assert mask.tolist() == [i not in DROPPED for i in numbers]
    assert sizes.tolist() == [MEMBERS.get(i, (i, 1))[1] for i in numbers]
    inside = [i for i in numbers if i in MEMBERS]
    members = [list(column) for column in kept.members()]
    assert members == [[i - base for i in inside], [MEMBERS[i][0] for i in inside], [MEMBERS[i][1] for i in inside]]


def test_without_dedup_all_stay(tmp_path: Path) -> None:
    kept = Kept(write(tmp_path, [Document("a", offset=4), Document("b", offset=9)]), 2)
    assert kept.mask() is None
    assert kept.mask_and_sizes() == (None, None)
    assert [len(column) for column in kept.members()] == [0, 0, 0]
    assert kept.offsets().tolist() == [4, 9]


def test_offsets_of_what_stays(tmp_path: Path, level: tuple[str, str]) -> None:
    docs = [Document("", offset=100 * i) for i in range(8, 11)]
    assert Kept(write(tmp_path, docs), 3, 8, *level).offsets().tolist() == [800, 1000]
    assert Kept(write(tmp_path, []), 0).offsets().tolist() == []


def test_json_and_back() -> None:
    kept = Kept("docs", 3, 8, "bits", "clusters")
    assert Kept.from_json(kept.to_json()) == kept
