"""Documents as Parquet: there and back, row group by row group."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import documents
from curation.documents import TableWriter, from_row, read_documents, read_tables, to_row
from schemas.records import Document
from schemas.tables import DOCS, SHARD

FULL = Document(
    "글 text\n", "<urn:uuid:1>", "http://a/", "a.warc.gz", 7, "CC-MAIN-2026-47", "2026-11-07T00:11:22Z", "kor_Hang",
    0.75, "Hang", (("kor_Hang", 0.75), ("jpn_Jpan", 0.01)), 3, 0.5, 4, "sha1:ABC", {"author": "나", "n": [1, None]},
)  # fmt: skip

DOCUMENTS = {"empty": Document(""), "full": FULL, "no_quality": Document("x", quality_score=None, language_score=1.0)}


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a group."""
    monkeypatch.setattr(documents, "GROUP_BYTES", 400)


def write(folder: Path, docs: list[Document]) -> str:
    """A documents file."""
    with TableWriter(str(folder), "j.docs", DOCS) as table:
        for doc in docs:
            table.add(to_row(doc))
        assert table.rows == len(docs)
        return str(folder / table.commit().name)


@pytest.mark.parametrize("case", DOCUMENTS)
def test_row_and_back(case: str) -> None:
    doc = DOCUMENTS[case]
    assert from_row(to_row(doc)) == doc
    assert list(to_row(doc)) == DOCS.names


def test_metadata_is_strict_json() -> None:
    given = {"a": float("nan"), "b": [float("inf"), 1.5, {"c": -float("inf")}], "d": date(2026, 11, 7)}
    wanted = '{"a": null, "b": [null, 1.5, {"c": null}], "d": "2026-11-07"}'
    assert to_row(Document("", metadata=given))["metadata"] == wanted


def test_file_and_back(tmp_path: Path, small_groups: None) -> None:
    docs = [*DOCUMENTS.values(), Document("last")]
    path = write(tmp_path, docs)
    assert list(read_documents(path)) == docs
    assert pq.ParquetFile(path).num_row_groups == 2
    assert pq.read_schema(path).equals(DOCS)
    assert [path.name for path in tmp_path.iterdir()] == [Path(path).name]


def test_an_empty_file_has_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, [])
    assert list(read_documents(path)) == []
    assert pq.read_schema(path).equals(DOCS)


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
    with TableWriter(str(tmp_path), "j.docs", DOCS) as table:
        table.add(to_row(FULL), documents.GROUP_BYTES)
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_have_the_same_name(tmp_path: Path) -> None:
    assert write(tmp_path, [FULL]) == write(tmp_path, [FULL])
    assert write(tmp_path, [FULL]) != write(tmp_path, [FULL, FULL])


def test_keep_and_sizes_by_row(tmp_path: Path, small_groups: None) -> None:
    docs = [Document(str(i), offset=i) for i in range(5)]
    path = write(tmp_path, docs)
    keep = np.array([True, False, False, True, True])
    sizes = np.array([3, 3, 1, 1, 2], np.int32)
    assert [(doc.text, doc.cluster_size) for doc in read_documents(path, keep, sizes)] == [("0", 3), ("3", 1), ("4", 2)]
    assert [t.to_pydict() for t in read_tables(path, keep, columns=["offset"])] == [
        {"offset": [0]}, {"offset": [3]}, {"offset": [4]},
    ]  # fmt: skip
    assert [t.num_rows for t in read_tables(path)] == [2, 2, 1]


def test_shards_have_fineweb_columns_first() -> None:
    assert SHARD.names[:9] == [
        "text", "id", "dump", "url", "date", "file_path", "language", "language_score", "token_count",
    ]  # fmt: skip
    assert DOCS.names == [*SHARD.names, "digest"]
    assert SHARD.field("language_score").type == pa.float64()
    assert SHARD.field("token_count").type == pa.int64()
