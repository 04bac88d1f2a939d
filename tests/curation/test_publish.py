"""The makers of parts: what each writes, from what the levels left."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.documents import TableWriter
from curation.jobs import Job
from curation.judged import sample_hash
from curation.keep import Kept
from curation.ledger import LedgerLevel
from curation.match import CLUSTER_TABLE
from curation.publish import MAKERS, Publish, regroup
from schemas.records import Document
from schemas.tables import CLUSTERS, DROPPED_TEXT, LEDGER, SHARD, signals
from tests.curation.test_documents import write
from tests.curation.test_ledger import ledger
from tests.curation.test_match import listed

SIGNALS = ("c4.x", "fineweb.y")


def doc(offset: int, language: str = "en", text: str = "") -> Document:
    return Document(text or f"text {offset}", f"id{offset}", f"http://a/{offset}", "a.gz", offset, language=language)


def publish(
    folder: Path, payload: dict[str, Any], **changes: Any
) -> tuple[list[dict[str, Any]], dict[str, Any], pa.Schema]:
    """One part: its rows, facts and schema."""
    values: dict[str, Any] = {
        "rows_per_group": 2, "seed": 0, "examples": 3, "dropped_per_reason": 2, "signal_names": SIGNALS,
        "all_signals": False, **changes,
    }  # fmt: skip
    phase = Publish(str(folder / "publish"), **values)
    marker = phase.run(Job("j", 0, {"name": "part", **payload}))
    path = folder / "publish" / marker.files["part"].name
    rows = pq.read_table(path).to_pylist()
    assert marker.facts["name"] == "part"
    assert marker.facts["rows"] == len(rows)
    return rows, dict(marker.facts), pq.read_schema(path)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [([], []), ([0], []), ([1], [1]), ([3, 4], [3, 3, 1]), ([7], [3, 3, 1]), ([1, 1, 1, 1, 2], [3, 3]), ([0, 3], [3])],
)
def test_regroup(sizes: list[int], groups: list[int]) -> None:
    numbers = iter(range(100))
    tables = [pa.table({"n": pa.array([next(numbers) for _ in range(size)], pa.int64())}) for size in sizes]
    made = list(regroup(iter(tables), 3))
    assert [table.num_rows for table in made] == groups
    assert [n for table in made for n in table["n"].to_pylist()] == list(range(sum(sizes)))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Documents at 0 … 4; 1 is a duplicate of 0; 0, 2, 4 are English, 3 German."""
    docs = write(tmp_path, [doc(0), doc(1, text="mail me@mine.org"), doc(2), doc(3, "de"), doc(4)])
    (tmp_path / "bits").write_bytes(np.packbits([1, 0, 1, 1, 1], bitorder="little").tobytes())
    columns = zip([[0, 1], [0, 0], [2, 2]], CLUSTER_TABLE, strict=True)
    pq.write_table(pa.table([pa.array(c, f.type) for c, f in columns], schema=CLUSTER_TABLE), tmp_path / "clusters")
    return Kept(docs, 5, 0, str(tmp_path / "bits"), str(tmp_path / "clusters"))


SLICES: dict[str, tuple[int, int, dict[str, str], list[int]]] = {
    "all": (0, 9, {}, [0, 2, 3, 4]),
    "from_the_second": (1, 2, {}, [2, 3]),
    "english": (0, 9, {"language": "en"}, [0, 2, 4]),
    "english_from_the_second": (1, 1, {"language": "en"}, [2]),
    "no_such_language": (0, 9, {"language": "fr"}, []),
}


@pytest.mark.parametrize("case", SLICES)
def test_shards(case: str, kept: Kept, tmp_path: Path) -> None:
    skip, take, group, offsets = SLICES[case]
    slices = [{"kept": kept.to_json(), "skip": skip, "take": take}]
    rows, facts, schema = publish(tmp_path, {"kind": "shards", "slices": slices, "group": group})
    assert schema.equals(SHARD)
    assert [row["offset"] for row in rows] == offsets
    assert [row["cluster_size"] for row in rows] == [2 if offset == 0 else 1 for offset in offsets]
    assert facts["tally"]["kept"] == len(offsets)


def test_row_groups_are_cut_by_rows(kept: Kept, tmp_path: Path) -> None:
    slices = [{"kept": kept.to_json(), "skip": 0, "take": 9}]
    publish(tmp_path, {"kind": "shards", "slices": slices, "group": {}}, rows_per_group=3)
    file = pq.ParquetFile(next((tmp_path / "publish").glob("*.parquet")))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 1]


def test_ledger_counts_and_tallies(kept: Kept, tmp_path: Path) -> None:
    level = LedgerLevel(ledger(tmp_path, "l", {9: ("c4", "lorem_ipsum")}), kept, "minhash", "near_duplicate")
    task = {"levels": [level.to_json()], "pages": 6, "where": "a.gz from 0"}
    rows, facts, schema = publish(tmp_path, {"kind": "ledger", "tasks": [task]})
    assert schema.equals(LEDGER)
    assert [row["offset"] for row in rows] == [0, 1, 2, 3, 4, 9]
    assert facts["counts"] == [
        ["dropped", "c4", "lorem_ipsum", 1],
        ["dropped", "minhash", "near_duplicate", 1],
        ["kept", "", "", 4],
    ]
    assert facts["tally"]["dropped_by"] == {"minhash": {"near_duplicate": 1}}  # the others' are in their sift's
    assert "me@mine.org" not in str(facts)
    assert "mail " in str(facts)


def test_clusters(kept: Kept, tmp_path: Path) -> None:
    """Groups in keeper order, members' columns looked up by number over two documents files."""
    other = write(tmp_path, [doc(100), doc(101)])
    columns = zip([[0, 1, 3, 6], [0, 0, 6, 6], [2] * 4], CLUSTER_TABLE, strict=True)
    groups = pa.table([pa.array(c, f.type) for c, f in columns], schema=CLUSTER_TABLE)
    pq.write_table(groups, tmp_path / "groups")
    documents = listed(tmp_path, "documents", [(kept.docs, 0), (other, 5)])
    payload = {"kind": "clusters", "groups": str(tmp_path / "groups"), "documents": documents, "stage": "minhash"}
    rows, _, schema = publish(tmp_path, {**payload, "start": 0, "stop": 4})
    assert schema.equals(CLUSTERS)
    assert [tuple(row.values()) for row in rows] == [
        ("minhash", "id0", "id0", "http://a/0", "a.gz", 0, 2, True),
        ("minhash", "id0", "id1", "http://a/1", "a.gz", 1, 2, False),
        ("minhash", "id101", "id3", "http://a/3", "a.gz", 3, 2, False),
        ("minhash", "id101", "id101", "http://a/101", "a.gz", 101, 2, True),
    ]
    assert [row["id"] for row in publish(tmp_path, {**payload, "start": 2, "stop": 3})[0]] == ["id3"]
    empty, _, schema = publish(tmp_path, {"kind": "clusters"})
    assert (empty, schema.equals(CLUSTERS)) == ([], True)


def signal_file(folder: Path, name: str, column: str, values: dict[int, tuple[float, bool]]) -> str:
    """A sift's signals: offset -> (value, sampled)."""
    with TableWriter(str(folder), name, signals((column,))) as table:
        for offset, (value, sampled) in values.items():
            table.add({"id": f"id{offset}", "path": "a.gz", "offset": offset, "sampled": sampled, column: value})
        return str(folder / table.commit().name)


@pytest.mark.parametrize("every", [False, True])
def test_signals_of_kept_and_sampled(every: bool, kept: Kept, tmp_path: Path) -> None:
    """Offset 1 fell as a duplicate; 7 and 8 in the first sift, 8 of them sampled."""
    one = signal_file(tmp_path, "one", "c4.x", {i: (i, i == 8) for i in (0, 1, 2, 3, 4, 7, 8)})
    two = signal_file(tmp_path, "two", "fineweb.y", {i: (i * 10, False) for i in (4, 0, 2, 3)})
    task = {"files": [one, two], "kept": kept.to_json()}
    rows, _, schema = publish(tmp_path, {"kind": "signals", "tasks": [task]}, all_signals=every)
    assert schema.equals(signals(SIGNALS))
    wanted = [(0, 0, 0), (2, 2, 20), (3, 3, 30), (4, 4, 40), (8, 8, None)]
    extra = [(1, 1, None), (7, 7, None)] if every else []
    told = [(row["offset"], row["c4.x"], row["fineweb.y"]) for row in rows]
    assert told == sorted(wanted + extra, key=lambda r: r[0])
    assert [row["offset"] for row in rows if row["sampled"]] == [8]


@pytest.mark.parametrize("every", [False, True])
def test_gates_are_counted_over_all_tasks(every: bool, kept: Kept, tmp_path: Path) -> None:
    """Offsets 2 and 8 fail the gate, 2 is kept in the end."""
    one = signal_file(tmp_path, "one", "c4.x", {i: (i % 8 / 8, i != 3) for i in (0, 2, 3, 4, 8)})
    tasks = [{"files": [one], "kept": kept.to_json()}] * 2
    gates = {"c4": ("c4.x", 0.3)}
    _, facts, _ = publish(tmp_path, {"kind": "signals", "tasks": tasks}, all_signals=every, gates=gates)
    assert facts["gates"] == {"c4": {"asked": 8, "failed": 6, "kept": 6, "lost": 4}}


@pytest.mark.parametrize("limit", [2, 0, None])
def test_dropped_texts_are_those_of_the_lowest_hashes(limit: int | None, tmp_path: Path) -> None:
    files = []
    for name, numbers in (("a", range(6)), ("b", range(6, 12))):
        with TableWriter(str(tmp_path), name, DROPPED_TEXT) as table:
            for i in numbers:
                reason = "odd" if i % 2 else "even"
                row = {"id": f"id{i}", "url": "u", "path": "p", "offset": i, "stage": "s", "reason": reason}
                table.add({**row, "value": 0.0, "threshold": 1.0, "text": f"t{i}"})
            files.append(str(tmp_path / table.commit().name))
    rows, _, schema = publish(tmp_path, {"kind": "dropped", "files": files}, dropped_per_reason=limit)
    assert schema.equals(DROPPED_TEXT)
    ranked = sorted(range(12), key=lambda i: sample_hash(0, f"id{i}"))
    wanted = [[i for i in ranked if i % 2 == odd][:limit] for odd in (0, 1)]
    assert [row["offset"] for row in rows] == wanted[0] + wanted[1]


def test_every_folder_has_its_maker() -> None:
    assert list(MAKERS) == ["shards", "ledger", "clusters", "signals", "dropped"]
