"""The final ledger of a task: what every level said, one row a page."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from curation.documents import TableWriter
from curation.judged import Judged
from curation.keep import Kept
from curation.ledger import LedgerError, LedgerLevel, final_rows, ledger_row, url_hash
from curation.match import CLUSTER_TABLE
from schemas.records import Document, Page
from schemas.tables import LEDGER
from tests.curation.test_documents import write


def doc(offset: int) -> Document:
    return Document("t", f"id{offset}", f"http://a/{offset}", "a.gz", offset)


def ledger(folder: Path, name: str, dropped: dict[int, tuple[str, str]]) -> str:
    """A sift's ledger: offset -> (stage, reason)."""
    with TableWriter(str(folder), name, LEDGER) as table:
        for offset, (stage, reason) in dropped.items():
            gate = "language" if reason == "unlikely_language" else ""
            table.add(ledger_row(doc(offset), Judged(None, stage, reason, 1.5, 2.0, gate=gate)))
        return str(folder / table.commit().name)


@pytest.fixture
def levels(tmp_path: Path) -> list[LedgerLevel]:
    """Pages at 0, 10, … 50: 10 falls in the first sift, 30 is a duplicate of 20, 40 falls in the second sift."""
    docs = write(tmp_path, [doc(i) for i in (0, 20, 30, 40, 50)])
    (tmp_path / "bits").write_bytes(np.packbits([1, 1, 0, 1, 1], bitorder="little").tobytes())
    clusters = pa.table([pa.array(c, f.type) for c, f in zip([[1, 2], [1, 1], [2, 2]], CLUSTER_TABLE, strict=True)],
                        schema=CLUSTER_TABLE)  # fmt: skip
    pq.write_table(clusters, tmp_path / "clusters")
    first = Kept(docs, 5, 0, str(tmp_path / "bits"), str(tmp_path / "clusters"))
    last = Kept(write(tmp_path, [doc(i) for i in (0, 20, 50)]), 3)
    return [
        LedgerLevel(ledger(tmp_path, "one", {10: ("c4", "curly_bracket")}), first, "minhash", "near_duplicate"),
        LedgerLevel(ledger(tmp_path, "two", {40: ("fineweb", "too_short")}), last),
    ]


def test_one_row_a_page_in_order(levels: list[LedgerLevel]) -> None:
    table = final_rows(levels, 6, "a.gz from 0")
    assert table.schema.equals(LEDGER)
    told = ("offset", "outcome", "stage", "reason", "value", "threshold")
    assert list(zip(*(table[name].to_pylist() for name in told), strict=True)) == [
        (0, "kept", None, None, None, None),
        (10, "dropped", "c4", "curly_bracket", 1.5, 2.0),
        (20, "kept", None, None, None, None),
        (30, "dropped", "minhash", "near_duplicate", 2.0, 1.0),
        (40, "dropped", "fineweb", "too_short", 1.5, 2.0),
        (50, "kept", None, None, None, None),
    ]  # fmt: skip
    assert table["id"].to_pylist() == [f"id{i}" for i in range(0, 60, 10)]
    assert table["path"].to_pylist() == ["a.gz"] * 6
    urls = [f"http://a/{i}".encode() for i in range(0, 60, 10)]
    assert table["url_hash"].to_pylist() == [xxhash.xxh3_64_intdigest(url) for url in urls]
    assert table["gate"].to_pylist() == [None] * 6


@pytest.mark.parametrize("pages", [5, 7])
def test_pages_and_rows_differ(pages: int, levels: list[LedgerLevel]) -> None:
    with pytest.raises(LedgerError, match=f"^a.gz from 0: {pages} pages were read and 6 ledger rows written, 6 "):
        final_rows(levels, pages, "a.gz from 0")


def test_two_rows_of_one_page(levels: list[LedgerLevel], tmp_path: Path) -> None:
    twice = LedgerLevel(ledger(tmp_path, "x", {20: ("c4", "lorem_ipsum")}), levels[1].kept)
    with pytest.raises(LedgerError, match=r"6 pages were read and 6 ledger rows written, 5 of them distinct"):
        final_rows([levels[0], twice], 6, "a.gz from 0")


def test_nothing_read(tmp_path: Path) -> None:
    table = final_rows([LedgerLevel(ledger(tmp_path, "x", {}), Kept(write(tmp_path, []), 0))], 0, "empty")
    assert (table.num_rows, table.schema.equals(LEDGER)) == (0, True)


def test_json_and_back(levels: list[LedgerLevel]) -> None:
    assert [LedgerLevel.from_json(level.to_json()) for level in levels] == levels


def test_rows_of_pages_and_documents_are_alike() -> None:
    page, judged = Page("id7", "http://a/7", "a.gz", 7), Judged(None, "c4", "x", 0.0, 1.0)
    assert ledger_row(page, judged) == ledger_row(doc(7), judged)
    assert ledger_row(page, judged)["outcome"] == "dropped"


def test_a_gate_is_named(tmp_path: Path) -> None:
    dropped = {0: ("language", "wrong_language"), 10: ("language", "unlikely_language")}
    level = LedgerLevel(ledger(tmp_path, "x", dropped), Kept(write(tmp_path, [doc(20)]), 1))
    assert final_rows([level], 3, "a.gz")["gate"].to_pylist() == [None, "language", None]


def test_the_hash_of_any_url() -> None:
    assert url_hash("http://a/\ud800") != url_hash("http://a/")
