"""Ranges of remote files: the same pages, over connections that break."""

import gzip
import shutil
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.inputs import resolve
from curation.plan import close_chain
from curation.readers import open_task
from schemas.records import Page
from schemas.tasks import Source, Task


def _by_ranges(source: Source, step: int) -> list[Page]:
    cuts = [*range(0, source.size, step), source.size]
    tasks = [Task(str(a), 0, source, a, b, exact=a == 0) for a, b in pairwise(cuts)]
    readers = [open_task(task) for task in tasks]
    pages = [page for reader in readers for page in reader]
    assert close_chain(tasks, [(r.first, r.end) for r in readers]) == tasks
    return pages


def test_http_with_broken_connections(archives: Any, http_files: Any, make_fault: Any) -> None:
    path = archives.write([gzip.compress(archives.page(n, 3000), 0) for n in range(30)])
    expected, _ = archives.read(path)
    shutil.copy(path, http_files.folder)
    (source,) = resolve([f"{http_files.url}/a.warc.gz"]).sources
    assert source.size == path.stat().st_size
    http_files.faults["a.warc.gz"] = [
        make_fault(cut=5000),
        make_fault(status=503, retry_after="0"),
        make_fault(cut=100),
    ]
    assert _by_ranges(source, 40_000) == expected
    picked = tuple((expected[n].offset, expected[n + 1].offset - expected[n].offset) for n in (3, 5, 7))
    task = replace(Task("", 0, source, 0, 0), records=picked)
    http_files.requests.clear()
    assert [p.id for p in open_task(task)] == [p.id for p in expected[3:9:2]]
    assert [ranged for _, ranged in http_files.requests] == [f"bytes={picked[0][0]}-{sum(picked[-1]) - 1}"]


def test_s3(archives: Any, s3: Any) -> None:
    import s3fs

    path = archives.write([gzip.compress(archives.page(n, 3000), 0) for n in range(30)])
    expected, _ = archives.read(path)
    s3fs.S3FileSystem(endpoint_url=s3.endpoint).put(str(path), f"{s3.bucket}/a.warc.gz")
    (source,) = resolve([f"{s3.url}/a.warc.gz"]).sources
    assert _by_ranges(source, 40_000) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["page", "request", "several", "stored", "bad", "junk", "zeros"]), max_size=8), st.data()
)
def test_any_archive_any_cutting(archives: Any, parts: list[str], data: st.DataObject) -> None:
    """Whatever the members are, ranges read what one task reads, each page once, in order."""
    inner = b"".join(gzip.compress(archives.page(n)) for n in range(3))
    pieces = {
        "page": gzip.compress(archives.page(1)),
        "request": gzip.compress(archives.record(b"GET /", kind="request")),
        "several": gzip.compress(archives.page(2) + archives.page(3)),
        "stored": gzip.compress(archives.record(inner, number=4), 0),
        "bad": gzip.compress(archives.page(5))[:-7] + b"\0" * 7,
        "junk": b"junk" * 20,
        "zeros": b"\0" * 40,
    }
    path = archives.write([pieces[part] for part in parts])
    size = path.stat().st_size
    whole, reader = archives.read(path)
    assert reader.end == size
    offsets = [page.offset for page in whole]
    assert offsets == sorted(set(offsets))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(size - 1, 1)), max_size=6)))
    assert archives.chain(path, [0, *(c for c in cuts if c < size), max(size, 1)])[0] == whole
