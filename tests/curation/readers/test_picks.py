"""Records that an index names: each from its own bytes, neighbours in one read; single pages read again."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curation.readers import open_task, page_at, picks
from curation.readers.picks import MAX_GAP, MAX_READ, coalesce


@pytest.fixture
def members(archives: Any) -> list[bytes]:
    return [gzip.compress(archives.page(n), mtime=0) for n in range(6)]


def _places(members: list[bytes]) -> list[tuple[int, int]]:
    return [(sum(map(len, members[:n])), len(member)) for n, member in enumerate(members)]


def test_only_the_records_named(archives: Any, members: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    path = archives.write([*members[:3], b"\0" * 200_000, *members[3:]])
    gap = [(offset + (200_000 if n > 2 else 0), size) for n, (offset, size) in enumerate(_places(members))]
    reads: list[tuple[int, int]] = []

    def counted(path: str, start: int, length: int) -> bytes:
        reads.append((start, length))
        with Path(path).open("rb") as file:
            file.seek(start)
            return file.read(length)

    monkeypatch.setattr(picks, "read_range", counted)
    chosen = tuple(gap[n] for n in (0, 2, 4))
    reader = open_task(replace(archives.task(path), records=chosen))
    pages = list(reader)
    assert [(p.url[-1], p.offset, p.fault) for p in pages] == [(str(n), gap[n][0], None) for n in (0, 2, 4)]
    assert reads == [(0, sum(gap[2])), gap[4]]
    assert (reader.pages, reader.first, reader.end) == (3, 0, sum(gap[4]))
    whole, _ = archives.read(path)
    assert pages == [p for p in whole if p.offset in {offset for offset, _ in chosen}]


def test_records_that_are_none(archives: Any, members: list[bytes]) -> None:
    path = archives.write(members)
    (_, size), (two, _), (three, long) = _places(members)[0:3]
    cases = {
        "cut": ((0, size - 5), "truncated_record"),
        "off by one": ((two + 1, 100), "unreadable_record"),
        "more than the record": ((three, long + 70), ""),
        "beyond the file": ((10**6, 100), "truncated_record"),
    }
    for case, (place, reason) in cases.items():
        (page,) = open_task(replace(archives.task(path), records=(place,)))
        assert (page.fault.reason if page.fault else "", page.offset) == (reason, place[0]), case


def test_other_kinds_are_counted(archives: Any) -> None:
    path = archives.write(gzip.compress(archives.record(b"x", kind="revisit")))
    reader = open_task(replace(archives.task(path), records=((0, path.stat().st_size),)))
    assert (list(reader), dict(reader.skipped)) == ([], {"revisit": 1})


def test_coalesce() -> None:
    cases = {
        "near": ([(0, 10), (10 + MAX_GAP, 5)], 1),
        "far": ([(0, 10), (11 + MAX_GAP, 5)], 2),
        "up to the limit": ([(0, MAX_READ - 5), (MAX_READ - 5, 5)], 1),
        "over the limit": ([(0, MAX_READ - 5), (MAX_READ - 5, 6)], 2),
        "one alone may be larger": ([(0, 3 * MAX_READ)], 1),
        "none": ([], 0),
    }
    for case, (places, groups) in cases.items():
        found = list(coalesce(places))
        assert (len(found), [place for group in found for place in group]) == (groups, places), case


def test_page_at(archives: Any, members: list[bytes]) -> None:
    raw = b"".join(archives.page(n) for n in range(6))
    lines = b"".join(b'{"text": "%d"}\n' % n for n in range(6))
    files = {
        "a.warc.gz": members,
        "b.warc.gz": gzip.compress(raw),
        "c.warc": raw,
        "d.warc.gz": [members[0], gzip.compress(raw)],
        "e.jsonl": lines,
        "f.jsonl.gz": gzip.compress(lines),
    }
    for name, data in files.items():
        path = archives.write(data, name)
        for page in archives.read(path)[0]:
            assert page_at(archives.source(path), page.offset) == page, name
    assert page_at(archives.source(path), 3) is None
