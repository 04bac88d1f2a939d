"""Parquet: rows as pages, by ranges of rows."""

import datetime
import json
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.readers import FormatError
from schemas.records import Body


def _write(archives: Any, table: pa.Table, group: int = 100, name: str = "a.parquet") -> Any:
    path = archives.folder / name
    pq.write_table(table, path, row_group_size=group)
    return path


def test_rows_and_ranges(archives: Any) -> None:
    path = _write(archives, pa.table({"text": [f"t{n}" for n in range(250)], "id": [f"i{n}" for n in range(250)]}))
    whole, reader = archives.read(path)
    assert [(p.id, p.body, p.offset) for p in whole] == [(f"i{n}", f"t{n}".encode(), n) for n in range(250)]
    assert (reader.first, reader.end) == (0, 250)
    for step in (1, 64, 99, 100, 101, 249):
        cuts = [*range(0, 250, step), 250]
        parts = [p for a, b in pairwise(cuts) for p in archives.read(path, a, b)[0]]
        assert parts == whole, step


def test_columns(archives: Any) -> None:
    when = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "text": pa.array(["a", None, "글"]),
            "url": pa.array(["u", None, None]),
            "n": pa.array([1, 2, None]),
            "metadata": pa.array([json.dumps({"b": 2}), None, None]),
            "when": pa.array([when] * 3),
        }
    )
    one, two, three = archives.read(_write(archives, table))[0]
    assert (one.id, one.url, dict(one.metadata)) == ("a.parquet@0", "u", {"b": 2, "n": 1, "when": when})
    assert (two.body_kind, two.fault.reason, two.id) == (Body.NONE, "no_text", "a.parquet@1")
    assert three.body.decode() == "글"


def test_text_of_other_types(archives: Any) -> None:
    cases = {
        "binary": (pa.array([b"a", b"\xff"]), ["", "invalid_utf8"]),
        "number": (pa.array([1, 2]), ["text_not_string", "text_not_string"]),
        "large string": (pa.array(["a", "b"], pa.large_string()), ["", ""]),
    }
    for case, (column, reasons) in cases.items():
        assert archives.faults(archives.read(_write(archives, pa.table({"text": column})))[0]) == reasons, case


def test_unreadable_files(archives: Any) -> None:
    with pytest.raises(FormatError, match="no column `text`, only words; rename"):
        archives.read(_write(archives, pa.table({"words": ["a"]})))
    path = archives.write(b"PAR1 and then nothing", "b.parquet")
    with pytest.raises(FormatError, match=r"b\.parquet: not readable as Parquet"):
        archives.read(path)
