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
    assert (one.id, one.url, dict(one.metadata)) == (
        "a.parquet@0",
        "u",
        {"b": 2, "n": 1, "when": "2024-03-01 00:00:00.000000+0000"},
    )
    assert (two.body_kind, two.fault.reason, two.id) == (Body.NONE, "no_text", "a.parquet@1")
    assert three.body.decode() == "글"


def test_text_of_other_types(archives: Any) -> None:
    cases = {
        "binary": (pa.array([b"a", b"\xff"]), ["", "invalid_utf8"]),
        "number": (pa.array([1, 2]), ["text_not_string", "text_not_string"]),
        "string that is no UTF-8": (pa.array([b"a", b"\xff"]).view(pa.string()), ["", "invalid_utf8"]),
        "large string": (pa.array(["a", "b"], pa.large_string()), ["", ""]),
    }
    for case, (column, reasons) in cases.items():
        assert archives.faults(archives.read(_write(archives, pa.table({"text": column})))[0]) == reasons, case


FAR = 2**62
COLUMNS = {
    # case: (column, what the metadata says)
    "far dates": (
        pa.array([0, 2**31 - 1, None], pa.int32()).cast(pa.date32()),
        ["1970-01-01", "<value out of range: 2147483647>", None],
    ),
    "far times": (
        pa.array([0, FAR, -FAR], pa.timestamp("us")),
        ["1970-01-01 00:00:00.000000", f"<value out of range: {FAR}>", f"<value out of range: {-FAR}>"],
    ),
    "a zone nobody knows": (
        pa.array([0, None, 1], pa.int64()).cast(pa.timestamp("s", "Nowhere/Bogus")),
        ["1970-01-01 00:00:00.000+0000", None, "1970-01-01 00:00:01.000+0000"],
    ),
    "long durations": (pa.array([0, FAR, None], pa.int64()).cast(pa.duration("s")), [0, FAR, None]),
    "in a struct": (
        pa.StructArray.from_arrays([pa.array([0, FAR, 1], pa.timestamp("us"))], ["t"]),
        [
            {"t": "1970-01-01 00:00:00.000000"},
            {"t": f"<value out of range: {FAR}>"},
            {"t": "1970-01-01 00:00:00.000001"},
        ],
    ),
    "in a list": (
        pa.array([[0], [], None], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
        [["1970-01-01"], [], None],
    ),
    "in a dictionary": (
        pa.array([0, 1, 0], pa.int64()).cast(pa.timestamp("s")).dictionary_encode(),
        ["1970-01-01 00:00:00.000", "1970-01-01 00:00:01.000", "1970-01-01 00:00:00.000"],
    ),
    "words that are no UTF-8": (pa.array([b"a", b"\xff", b"b"]).view(pa.string()), ["a", "\ufffd", "b"]),
    "such words in a list": (
        pa.ListArray.from_arrays([0, 1, 2, 2], pa.array([b"a", b"\xff"]).view(pa.string())),
        [["a"], None, []],
    ),
    "two fields of a name": (
        pa.StructArray.from_arrays([pa.array([1, 2, 3])] * 2, ["a", "a"]),
        [None, None, None],
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_no_value_of_another_column_costs_a_page(archives: Any, case: str) -> None:
    column, expected = COLUMNS[case]
    pages, _ = archives.read(_write(archives, pa.table({"text": ["a", "b", "c"], "c": column})))
    assert [page.body for page in pages] == [b"a", b"b", b"c"]
    assert [page.metadata.get("c") for page in pages] == expected


METADATA = {
    # case: (the string, reason)
    "a mapping": ('{"a": [1]}', ""),
    "no JSON": ("[a", ""),
    "64 brackets that never close": ("[" * 64, ""),
    "65 brackets that never close": ("[" * 65, "bad_json"),
    "50,000 brackets that never close": ("[" * 50_000, "bad_json"),
    "100 brackets in words": ('"' + "[" * 100 + '" ?', ""),
    "65 levels": ('{"a": ' + "[" * 64 + "]" * 64 + "}", "bad_json"),
    "64 levels": ('{"a": ' + "[" * 63 + "]" * 63 + "}", ""),
    "half a surrogate pair": ('{"a": "\\ud800"}', "invalid_utf8"),
    "a whole pair": ('{"a": "\\ud83d\\ude00"}', ""),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_is_json(archives: Any, case: str) -> None:
    words, reason = METADATA[case]
    pages, _ = archives.read(_write(archives, pa.table({"text": ["a", "b"], "metadata": [words, None]})))
    assert archives.faults(pages) == [reason, ""]


def test_unreadable_files(archives: Any) -> None:
    with pytest.raises(FormatError, match="no column `text`, only words; rename"):
        archives.read(_write(archives, pa.table({"words": ["a"]})))
    path = archives.write(b"PAR1 and then nothing", "b.parquet")
    with pytest.raises(FormatError, match=r"b\.parquet: not readable as Parquet"):
        archives.read(path)
