"""The cut of files into tasks, their ids, the chain of bounds, and a limit of pages."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import plan as module
from curation.inputs import Given, resolve
from curation.plan import MAX_RANGE, MIN_RANGE, WHOLE, close_chain, limit_pages, plan, range_size
from curation.readers import open_task
from schemas.tasks import Compression, Format, Source, Task

MIB = 1 << 20


def _source(size: int, form: Format = Format.WARC, packed: Compression = Compression.GZIP, name: str = "a") -> Source:
    return Source(f"/x/{name}", name, size, "e", form, packed, "")


def _given(*sources: Source) -> Given:
    return Given(sources=sources)


def test_range_size() -> None:
    cases = {
        0: MIN_RANGE,
        4096 * MIN_RANGE: MIN_RANGE,
        4096 * MIN_RANGE + 1: 2 * MIN_RANGE,
        4096 * 5 * MIB: 8 * MIB,
        4096 * MAX_RANGE: MAX_RANGE,
        4096 * MAX_RANGE + 1: MAX_RANGE,
        10**15: MAX_RANGE,
    }
    for total, size in cases.items():
        assert range_size(total) == size, total


CUTS = {
    # case: (size, format, compression, [(start, end)])
    "empty": (0, Format.WARC, Compression.GZIP, [(0, WHOLE)]),
    "at one range": (2 * MIB, Format.WARC, Compression.GZIP, [(0, 2 * MIB)]),
    "above one range": (2 * MIB + 1, Format.WARC, Compression.GZIP, [(0, MIB), (MIB, 2 * MIB + 1)]),
    "three": (
        5 * MIB,
        Format.ARC,
        Compression.GZIP,
        [(0, 5 * MIB // 3), (5 * MIB // 3, 10 * MIB // 3), (10 * MIB // 3, 5 * MIB)],
    ),
    "plain JSONL": (3 * MIB, Format.JSONL, Compression.NONE, [(0, 3 * MIB // 2), (3 * MIB // 2, 3 * MIB)]),
    "packed JSONL": (9 * MIB, Format.JSONL, Compression.GZIP, [(0, WHOLE)]),
    "plain WARC": (9 * MIB, Format.WARC, Compression.NONE, [(0, WHOLE)]),
    "WARC in Zstandard": (9 * MIB, Format.WARC, Compression.ZSTD, [(0, WHOLE)]),
}


@pytest.mark.parametrize("case", CUTS)
def test_cuts(case: str) -> None:
    size, form, packed, expected = CUTS[case]
    tasks = plan(_given(_source(size, form, packed)), "h")
    assert [(t.start, t.end) for t in tasks] == expected
    assert [t.exact for t in tasks] == [True, *[False] * (len(tasks) - 1)]


def test_order_and_ids() -> None:
    sources = [_source(3 * MIB, name=name) for name in ("b", "a")]
    tasks = plan(_given(*sources), "h")
    assert [(t.index, t.source.name, t.start > 0) for t in tasks] == [
        (0, "a", False),
        (1, "a", True),
        (2, "b", False),
        (3, "b", True),
    ]
    assert len({t.id for t in tasks}) == 4
    assert {len(t.id) for t in tasks} == {20}
    assert plan(_given(*reversed(sources)), "h") == tasks
    base = tasks[0].id
    changes = {"name": "c", "size": 3 * MIB + 2, "etag": "f", "dump": "d", "compression": Compression.NONE}
    for field, value in changes.items():
        changed = replace(sources[1], **{field: value})
        assert plan(_given(changed), "h")[0].id != base, field
    assert plan(_given(*sources), "i")[0].id != base
    assert plan(_given(replace(sources[1], path="/elsewhere/a")), "h")[0].id == base


def test_parquet_is_cut_between_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": ["x" * 50] * 1000}), path, row_group_size=100, compression="none", use_dictionary=False
    )
    monkeypatch.setattr(module, "MIN_RANGE", 16384)
    tasks = plan(resolve([str(path)]), "h")
    assert [(t.start, t.end, t.exact) for t in tasks] == [
        (0, 300, True),
        (300, 500, True),
        (500, 800, True),
        (800, 1000, True),
    ]
    assert sum(1 for t in tasks for _ in open_task(t)) == 1000
    pq.write_table(pa.table({"text": ["x" * 50] * 1000}), path, compression="none", use_dictionary=False)
    assert [(t.start, t.end) for t in plan(resolve([str(path)]), "h")] == [(0, 1000)]
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    assert [(t.start, t.end) for t in plan(resolve([str(path)]), "h")] == [(0, 0)]


def _record(number: int) -> bytes:
    body = b"HTTP/1.1 200 OK\r\n\r\n" + str(number).encode() * 200
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://h/{number}\r\n"
    head += f"Content-Type: application/http\r\nContent-Length: {len(body)}\r\n\r\n"
    return gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0)


@pytest.fixture
def crawl(tmp_path: Path) -> dict[str, list[tuple[int, int]]]:
    """Two files of ten records each, and where these lie."""
    places: dict[str, list[tuple[int, int]]] = {}
    for number, name in enumerate(("1.warc.gz", "2.warc.gz")):
        records = [_record(10 * number + n) for n in range(10)]
        places[name] = [(sum(map(len, records[:n])), len(r)) for n, r in enumerate(records)]
        (tmp_path / name).write_bytes(b"".join(records))
    return places


def test_index_rows_become_tasks(tmp_path: Path, crawl: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "warc_filename": name,
            "warc_record_offset": offset,
            "warc_record_length": size,
            "language": "ko" if n % 2 else "en",
        }
        for name, places in reversed(crawl.items())
        for n, (offset, size) in enumerate(places)
    ]
    pq.write_table(pa.Table.from_pylist(rows[::-1]), tmp_path / "index.parquet")
    given = resolve([f"{tmp_path}/index.parquet"], where="language = 'ko'", prefix=f"{tmp_path}/", dump="D")
    tasks = plan(given, "h")
    assert [(t.index, t.source.name, t.records) for t in tasks] == [
        (n, name, tuple(places[1::2])) for n, (name, places) in enumerate(crawl.items())
    ]
    pages = [page for task in tasks for page in open_task(task)]
    assert [p.url for p in pages] == [f"http://h/{n}" for n in range(1, 20, 2)]
    assert {p.dump for p in pages} == {"D"}
    assert close_chain(tasks, [(0, 0)] * len(tasks)) == tasks
    size = max(size for places in crawl.values() for _, size in places)
    monkeypatch.setattr(module, "range_size", lambda total: 2 * size)
    cut = plan(given, "h")
    assert [len(t.records) for t in cut] == [2, 2, 1, 2, 2, 1]
    assert len({t.id for t in cut}) == 6


def _tasks(*ends: int, size: int | None = None) -> list[Task]:
    source = _source(size or ends[-1])
    return [
        Task(f"t{i}", i, source, a, b, exact=a == 0) for i, (a, b) in enumerate(zip((0, *ends), ends, strict=False))
    ]


CHAINS = {
    # case: (range ends, bounds, {task: its new start})
    "closed": ([10, 20, 30], [(0, 12), (12, 20), (20, 30)], {}),
    "one member over all": ([10, 20, 30], [(0, 30), (20, 20), (30, 30)], {}),
    "nothing starts in the middle": ([10, 20, 30], [(0, 25), (20, 20), (25, 30)], {}),
    "a false member before the right one": ([10, 20, 30], [(0, 15), (11, 21), (21, 30)], {1: 15}),
    "a false member in a covered range": ([10, 20, 30], [(0, 25), (12, 19), (25, 30)], {1: 25}),
    "the right one overlooked": ([10, 20, 30], [(0, 15), (20, 20), (22, 30)], {1: 15}),
    "two apart": ([10, 20, 30, 40], [(0, 12), (11, 22), (22, 33), (31, 40)], {1: 12, 3: 33}),
    "false to the end of the file": ([10, 20, 30], [(0, 30), (11, 20), (20, 30)], {1: 30, 2: 30}),
    "the next is judged later": ([10, 20, 30], [(0, 15), (11, 20), (20, 30)], {1: 15}),
}


@pytest.mark.parametrize("case", CHAINS)
def test_close_chain(case: str) -> None:
    ends, bounds, expected = CHAINS[case]
    tasks = _tasks(*ends)
    closed = close_chain(tasks, bounds)
    moved = {i: new.start for i, (old, new) in enumerate(zip(tasks, closed, strict=True)) if old != new}
    assert moved == expected
    for i in moved:
        assert (closed[i].exact, closed[i].index, closed[i].end) == (True, tasks[i].index, tasks[i].end)
        assert closed[i].id != tasks[i].id
    assert close_chain(tasks, bounds) == closed


def test_close_chain_over_many_files_and_sizes() -> None:
    one, two = _tasks(10, 20), [replace(t, source=_source(20, name="b")) for t in _tasks(10, 20)]
    assert close_chain([*one, *two], [(0, 20), (20, 20), (0, 10), (10, 20)]) == [*one, *two]
    beyond = _tasks(10, 99, size=20)
    assert close_chain(beyond, [(0, 20), (20, 20)]) == beyond
    unknown = [replace(t, source=_source(0)) for t in _tasks(WHOLE)]
    assert close_chain(unknown, [(0, 5)]) == unknown
    rows = [replace(t, source=_source(20, Format.PARQUET)) for t in one]
    assert close_chain(rows, [(0, 0), (3, 3)]) == rows


@pytest.mark.parametrize("limit", [1, 9, 10, 11, 15, 20, 99])
def test_limit_pages(tmp_path: Path, crawl: dict[str, Any], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "range_size", lambda total: 300)
    tasks = plan(resolve([f"{tmp_path}/*.warc.gz"]), "h")
    assert len(tasks) > 6
    chosen = limit_pages(tasks, limit)
    readers = [open_task(task) for task in chosen]
    pages = [page for reader in readers for page in reader]
    assert [p.url for p in pages] == [f"http://h/{n}" for n in range(min(limit, 20))]
    assert close_chain(chosen, [(r.first, r.end) for r in readers]) == chosen
    assert len({t.id for t in chosen}) == len(chosen)


def test_tasks_travel_as_json() -> None:
    task = replace(_tasks(10)[0], records=((1, 2),), pages=3)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
