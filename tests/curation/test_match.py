"""Edges by hash range, components from edges, keepers by priority."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.jobs import Job
from curation.match import Cluster, Match, read_list
from curation.sign import pack_counts, unpack_counts
from dedup.exchange import FENCES, SignatureWriter

HIGH = 1 << 63


def listed(folder: Path, name: str, rows: list[tuple[str, int]]) -> str:
    """A file list."""
    table = pa.table({"path": [path for path, _ in rows], "base": pa.array([base for _, base in rows], pa.int64())})
    pq.write_table(table, folder / name)
    return str(folder / name)


def signatures(folder: Path, name: str, keys: list[list[int]]) -> str:
    """A task's signature file: keys by document."""
    writer = SignatureWriter()
    for row, document in enumerate(keys):
        writer.add(row, np.array(document, np.uint64))
    with (folder / name).open("wb") as file:
        writer.write(file)
    return str(folder / name)


def matrix(path: Path, kind: str = "<i8") -> list[list[int]]:
    return np.frombuffer(path.read_bytes(), kind).reshape(-1, 2).tolist()  # type: ignore[no-any-return]


@pytest.fixture
def files(tmp_path: Path) -> str:
    """Documents 0-2 in one task, 3-5 in another: 0 and 4 share a low key, 2, 3 and 5 a high one."""
    one = signatures(tmp_path, "one", [[1, HIGH + 1], [2], [HIGH + 9]])
    two = signatures(tmp_path, "two", [[HIGH + 9, 3], [1], [HIGH + 9]])
    return listed(tmp_path, "files", [(one, 0), (two, 3)])


RANGES = {
    "all": ([0, FENCES], [[0, 4], [2, 3], [2, 5]]),
    "low": ([0, FENCES // 2], [[0, 4]]),
    "high": ([FENCES // 2, FENCES], [[2, 3], [2, 5]]),
    "none": ([FENCES // 4, FENCES // 2], []),
}


@pytest.mark.parametrize("case", RANGES)
def test_edges_of_a_range(case: str, files: str, tmp_path: Path) -> None:
    fences, edges = RANGES[case]
    marker = Match(str(tmp_path / "match")).run(Job("m", 0, {"files": files, "fences": fences}))
    found = matrix(tmp_path / "match" / marker.files["edges"].name)
    assert sorted(sorted(edge) for edge in found) == edges
    assert marker.facts == {"edges": len(edges)}


def cluster(
    folder: Path, edges: list[list[int]], documents: int, priorities: list[int] | None = None
) -> dict[str, object]:
    """Runs the phase; its outputs as lists."""
    folder.mkdir(exist_ok=True)
    (folder / "edges").write_bytes(np.array(edges, "<i8").tobytes())
    given = []
    if priorities is not None:
        (folder / "priorities").write_bytes(np.array(priorities, "<i8").tobytes())
        given = [(str(folder / "priorities"), documents - len(priorities))]
    payload = {
        "edges": listed(folder, "e", [(str(folder / "edges"), 0)]),
        "priorities": listed(folder, "p", given),
        "documents": documents,
    }
    marker = Cluster(str(folder / "out")).run(Job("c", 0, payload))
    at = {what: folder / "out" / file.name for what, file in marker.files.items()}
    bits = np.unpackbits(np.frombuffer(at["bits"].read_bytes(), np.uint8), bitorder="little")[:documents].tolist()
    columns = {what: pq.read_table(at[what]).to_pydict().values() for what in ("clusters", "groups")}
    tables = {what: list(zip(*values, strict=True)) for what, values in columns.items()}
    return {"bits": bits, "facts": dict(marker.facts), **tables}


def test_clusters_and_keepers(tmp_path: Path) -> None:
    found = cluster(tmp_path, [[5, 1], [1, 3], [2, 4]], 7)
    assert found == {
        "bits": [1, 1, 1, 0, 0, 0, 1],
        "clusters": [(1, 1, 3), (2, 2, 2), (3, 1, 3), (4, 2, 2), (5, 1, 3)],
        "groups": [(1, 1, 3), (3, 1, 3), (5, 1, 3), (2, 2, 2), (4, 2, 2)],
        "facts": {"documents": 7, "members": 5, "kept": 4},
    }


def test_the_highest_priority_stays(tmp_path: Path) -> None:
    """Priorities of the last four documents only: a task of none has no file."""
    found = cluster(tmp_path, [[5, 1], [1, 3], [2, 4]], 7, [0, 9, 9, 0])
    assert found["bits"] == [1, 0, 0, 0, 1, 1, 1]
    assert found["groups"] == [(2, 4, 2), (4, 4, 2), (1, 5, 3), (3, 5, 3), (5, 5, 3)]


@pytest.mark.parametrize("documents", [0, 1, 9])
def test_no_edges_no_clusters(documents: int, tmp_path: Path) -> None:
    assert cluster(tmp_path, [], documents) == {
        "bits": [1] * documents,
        "clusters": [],
        "groups": [],
        "facts": {"documents": documents, "members": 0, "kept": documents},
    }


def test_the_order_of_edges_does_not_matter(tmp_path: Path) -> None:
    edges = [[i, (i * 7) % 60] for i in range(60)]
    assert cluster(tmp_path / "a", edges, 60) == cluster(tmp_path / "b", [e[::-1] for e in edges[::-1]], 60)


def test_file_lists(tmp_path: Path) -> None:
    assert list(read_list(listed(tmp_path, "x", [("s3://b/k", 0), ("a", 7)]))) == [("s3://b/k", 0), ("a", 7)]


def test_counts_travel_as_text() -> None:
    counts = np.arange(FENCES, dtype=np.int64) * 3
    assert (unpack_counts(pack_counts(counts)) == counts).all()
