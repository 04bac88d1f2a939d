"""JSONL: lines as pages, whatever they hold, plain or packed, whole or by ranges."""

import gzip
import json
import tracemalloc
from typing import Any

import pytest
import zstandard

from curation.readers import Limits
from schemas.records import Body

SMALL = Limits(max_line_bytes=100, max_member_bytes=1 << 20)


def test_columns(archives: Any) -> None:
    row = {"text": "글 a", "id": "i1", "url": "u", "dump": "d", "date": "t", "language": "ko", "n": 3, "none": None}
    bare = {"text": "x", "id": 7, "metadata": {"a": 1, "n": 2}, "n": 5}
    ours = {"text": "", "metadata": '{"a": [1]}'}
    other = {"text": "y", "metadata": "words"}
    path = archives.write("\n".join(json.dumps(r) for r in (row, bare, ours, other)).encode(), "a.jsonl")
    (one, two, three, four), reader = archives.read(path)
    assert (one.id, one.url, one.dump, one.date, one.body.decode()) == ("i1", "u", "d", "t", "글 a")
    assert (one.body_kind, one.offset, dict(one.metadata)) == (Body.TEXT, 0, {"n": 3})
    assert one.language == "ko"
    assert (two.id, dict(two.metadata)) == ("7", {"a": 1, "n": 5})
    assert (three.id, three.fault, dict(three.metadata)) == (f"a.jsonl@{three.offset}", None, {"a": [1]})
    assert dict(four.metadata) == {"metadata": "words"}
    assert (reader.first, reader.end) == (0, path.stat().st_size)


MEASURED = {
    # case: (what a row says, what is taken of it)
    "ours": ({"language": "kor_Hang", "language_score": 0.9, "token_count": 7}, ("kor_Hang", 0.9, "", 7)),
    "FineWeb-2's": ({"language": "kor", "language_script": "Hang", "language_score": 1}, ("kor", 1.0, "Hang", 0)),
    "empty": ({"language": "", "language_score": 0.0, "token_count": 0}, ("", 0.0, "", 0)),
}


@pytest.mark.parametrize("case", MEASURED)
def test_what_was_measured_before_is_taken(archives: Any, case: str) -> None:
    row, taken = MEASURED[case]
    (page,), _ = archives.read(archives.write(json.dumps({"text": "a", **row}).encode(), "a.jsonl"))
    assert (page.language, page.language_score, page.language_script, page.token_count) == taken
    assert page.metadata == {}


UNFIT = {
    "language": [3, ["ko"], "Korean", "../../ko", "ko\n", "none"],
    "language_script": ["hang", "Hangul", 1],
    "language_score": ["0.9", True, float("inf"), 2**63],
    "token_count": ["7", 7.0, True, -1, 2**63],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in UNFIT.items() for value in values])
def test_a_column_that_holds_something_else_is_metadata(archives: Any, name: str, value: object) -> None:
    (page,), _ = archives.read(archives.write(json.dumps({"text": "a", name: value}).encode(), "a.jsonl"))
    assert (page.language, page.language_score, page.language_script, page.token_count) == ("", 0.0, "", 0)
    assert page.metadata == {name: value}


LINES = {
    # case: (line, reason)
    "sound": (b'{"text": "a"}', ""),
    "carriage return": (b'{"text": "a"}\r', ""),
    "bad JSON": (b'{"text": "a"', "bad_json"),
    "not an object": (b'["text"]', "bad_json"),
    "a number of 5,000 digits": (b'{"n": ' + b"9" * 5000 + b"}", "bad_json"),
    "100,000 brackets": (b'{"text": ' + b"[" * 100_000, "bad_json"),
    "900 levels": (b'{"text": "a", "d": ' + b"[" * 900 + b"]" * 900 + b"}", "bad_json"),
    "64 levels": (b'{"text": "a", "d": ' + b"[" * 63 + b"]" * 63 + b"}", ""),
    "65 levels": (b'{"text": "a", "d": ' + b'{"": ' * 64 + b"1" + b"}" * 64 + b"}", "bad_json"),
    "no text": (b'{"url": "a"}', "no_text"),
    "null text": (b'{"text": null}', "no_text"),
    "text not a string": (b'{"text": 3}', "text_not_string"),
    "invalid UTF-8": (b'{"text": "\xff"}', "invalid_utf8"),
    "half a surrogate pair": (b'{"text": "\\ud83d"}', "invalid_utf8"),
    "half a pair elsewhere": (b'{"text": "a", "b": ["\\uDC00"]}', "invalid_utf8"),
    "a whole pair": (b'{"text": "\\ud83d\\ude00"}', ""),
}


@pytest.mark.parametrize("case", LINES)
def test_a_line_costs_one_row_and_no_neighbour(archives: Any, case: str) -> None:
    line, reason = LINES[case]
    pages, _ = archives.read(archives.write(b'{"text": "1"}\n' + line + b'\n{"text": "2"}\n', "a.jsonl"))
    assert archives.faults(pages) == ["", reason, ""]
    assert [p.offset for p in pages] == [0, 14, 14 + len(line) + 1]
    assert pages[1].id == "a.jsonl@14"


def test_line_limit_at_its_edge(archives: Any) -> None:
    for size, reason in {99: "", 100: "", 101: "line_too_long", 9000: "line_too_long"}.items():
        line = b'{"text": "' + b"x" * (size - 12) + b'"}'
        assert len(line) == size
        for end in (b"\n", b'\n{"text": "1"}', b""):
            pages, _ = archives.read(archives.write(line + end, "a.jsonl"), limits=SMALL)
            assert archives.faults(pages)[0] == reason, (size, end)


def test_blank_lines_and_byte_order_mark(archives: Any) -> None:
    pages, reader = archives.read(archives.write(b'\xef\xbb\xbf{"text": "1"}\n\n  \r\n{"text": "2"}', "a.jsonl"))
    assert ([p.body for p in pages], dict(reader.skipped)) == ([b"1", b"2"], {"blank": 2})
    assert archives.read(archives.write(b"", "b.jsonl"))[0] == []


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_packed(archives: Any, name: str) -> None:
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    lines = [json.dumps({"text": "é" * n}).encode() + b"\n" for n in range(300)]
    raw = b"".join(lines)
    path = archives.write([pack(raw[:1000]), pack(raw[1000:])], name)
    pages, reader = archives.read(path)
    assert [p.offset for p in pages] == [sum(map(len, lines[:n])) for n in range(300)]
    assert [len(p.body) for p in pages] == [2 * n for n in range(300)]
    assert reader.end == path.stat().st_size
    cut = archives.write(path.read_bytes()[:-20], f"cut.{name}")
    pages, _ = archives.read(cut)
    assert archives.faults(pages)[-1] == "truncated_record"
    assert set(archives.faults(pages)[:-1]) <= {""}
    assert len({p.offset for p in pages}) == len(pages)


def test_bomb(archives: Any) -> None:
    path = archives.write(gzip.compress(b'{"text": "1"}\n' + b" " * (100 << 20), 9), "a.jsonl.gz")
    tracemalloc.start()
    pages, _ = archives.read(path, limits=SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (archives.faults(pages), peak < 6 << 20) == (["", "gzip_bomb"], True)


def test_any_cutting_reads_what_one_task_reads(archives: Any) -> None:
    raw = b"".join(json.dumps({"text": "x" * (n * 7 % 60), "id": n}).encode() + b"\n" for n in range(50))
    path = archives.write(raw + b"\n\n", "a.jsonl")
    whole, _ = archives.read(path)
    size = path.stat().st_size
    assert len(whole) == 50
    for cut in range(1, size):
        parts, rounds = archives.chain(path, [0, cut, size])
        assert (parts, rounds) == (whole, 1), cut
    for step in (1, 10, 333):
        assert archives.chain(path, [*range(0, size, step), size]) == (whole, 1)
