"""Rows of the columnar index: selected by a condition, sorted, and unable to do anything else."""

import random
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.index import check_where, is_index, picks, selection
from curation.inputs import source_at
from curation.readers import NoTextError
from schemas.tasks import Source

ROWS = [
    # file, offset, length, languages, status
    ("b.warc.gz", 500, 50, "kor", 200),
    ("a.warc.gz", 900, 10, "kor,eng", 200),
    ("a.warc.gz", 100, 20, "kor", 404),
    ("a.warc.gz", 0, 30, "eng", 200),
    ("b.warc.gz", 500, 50, "kor", 200),
    (None, 7, 8, "kor", 200),
    ("c.warc.gz", None, 8, "kor", 200),
    ("c.warc.gz", 0, 0, "kor", 200),
]
NAMES = ["warc_filename", "warc_record_offset", "warc_record_length", "content_languages", "fetch_status"]


@pytest.fixture
def index(tmp_path: Path) -> Source:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))), path)
    return source_at(str(path))


CONDITIONS = {
    "": [("a.warc.gz", 0, 30), ("a.warc.gz", 100, 20), ("a.warc.gz", 900, 10), ("b.warc.gz", 500, 50)],
    "content_languages = 'kor'": [("a.warc.gz", 100, 20), ("b.warc.gz", 500, 50)],
    "Content_Languages LIKE 'kor%' AND fetch_status = 200 -- only": [("a.warc.gz", 900, 10), ("b.warc.gz", 500, 50)],
    "warc_record_length > 20": [("a.warc.gz", 0, 30), ("b.warc.gz", 500, 50)],
    '"fetch_status" IN (SELECT 404)': [("a.warc.gz", 100, 20)],
    "false": [],
}


@pytest.mark.parametrize("where", CONDITIONS)
def test_picks(index: Source, where: str) -> None:
    check_where([index], where)
    assert list(picks([index], where)) == CONDITIONS[where]
    assert list(picks([index, index], where)) == CONDITIONS[where]
    with selection([index], where) as (total, _):
        assert total == sum(length for *_, length in CONDITIONS[where])


WRONG = {
    "no such column": ("languages = 'kor'", 'Binder Error: Referenced column "languages" not found'),
    "no expression": ("content_languages =", "syntax error"),
    "a statement": ("true; DROP TABLE picked", "Parser Error"),
    "another query": ("true) UNION SELECT (1", "Parser Error"),
    "reads a file": ("(SELECT count(*) FROM read_text('/etc/hostname')) = 1", "Permission Error"),
    "reads a table of ours": ("fetch_status IN (SELECT start FROM picked)", "Catalog Error"),
    "reads a variable of ours": ("fetch_status IN (SELECT * FROM ROWS)", "Catalog Error"),
    "changes a setting": ("SET enable_external_access = true", "Parser Error"),
    "an aggregate": ("sum(fetch_status) > 1", "Binder Error"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_condition_is_one_clear_line(index: Source, case: str) -> None:
    where, words = WRONG[case]
    with pytest.raises(ValueError, match=words) as caught:
        check_where([index], where)
    message = str(caught.value)
    assert message.startswith(f"the condition {where!r} (--where) is not one for this index: ")
    assert "\n" not in message


def test_a_condition_can_not_write(index: Source, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for where in (
        f"(COPY (SELECT 1) TO '{tmp_path}/x')",
        f"(SELECT 1 FROM query('COPY (SELECT 1) TO ''{tmp_path}/x'''))",
    ):
        with pytest.raises(ValueError, match="--where"):
            check_where([index], where)
    assert sorted(tmp_path.rglob("*")) == before


def test_is_index(tmp_path: Path, index: Source) -> None:
    pq.write_table(pa.table({"text": ["a"], **{name: [1] for name in NAMES}}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"warc_filename": ["a"]}), tmp_path / "part-of.parquet")
    assert is_index(index) is True
    assert is_index(source_at(str(tmp_path / "text.parquet"))) is False
    with pytest.raises(NoTextError, match="no column `text`, only warc_filename; rename"):
        is_index(source_at(str(tmp_path / "part-of.parquet")))


def test_many_rows_in_bounded_memory(tmp_path: Path) -> None:
    rows, chance = 400_000, random.Random(3)
    offsets = [chance.randrange(10**9) for _ in range(rows)]
    files = [f"crawl-data/segments/{n % 500:05d}.warc.gz" for n in range(rows)]
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({NAMES[0]: files, NAMES[1]: offsets, NAMES[2]: [100] * rows}), path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    last, count = ("", -1), 0
    for name, offset, _ in picks([source_at(str(path))], ""):
        assert last < (name, offset)
        last, count = (name, offset), count + 1
    assert count == len(set(zip(files, offsets, strict=True)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
