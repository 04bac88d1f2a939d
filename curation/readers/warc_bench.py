"""Reads WARC files by our reader and by warcio's ArchiveIterator, taking turns, and compares them.

Command: python -m curation.readers.warc_bench FILE.warc.gz … (any of Common Crawl's shape; without files it makes one
of 2,000 pages of 30 KB from the source of a standard module). Both read every record; ours checks checksums, too.
Prints one JSON line: inflated MB/s and records/s of each, medians of ROUNDS, in one process.
"""

import gzip
import inspect
import json
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

from curation.inputs import resolve
from curation.readers import open_task
from schemas.tasks import Task

ROUNDS = 7
_PAGES, _PAGE_BYTES = 2000, 30_000


def ours(paths: Sequence[str]) -> tuple[int, int, int]:
    """(records, pages, bytes of pages) by our reader."""
    records = pages = size = 0
    for source in resolve(paths).sources:
        reader = open_task(Task("", 0, source, 0, 2**63 - 1, exact=True))
        size += sum(len(page.body) for page in reader)
        pages += reader.pages
        records += reader.pages + sum(reader.skipped.values())
    return records, pages, size


def warcio(paths: Sequence[str]) -> tuple[int, int, int]:
    """The same by warcio, told not to parse HTTP heads."""
    records = pages = size = 0
    for path in paths:
        with Path(path).open("rb") as file:
            for record in ArchiveIterator(file, no_record_parse=True):
                records += 1
                body = record.raw_stream.read()
                if record.rec_type == "response":
                    pages += 1
                    size += len(body)
    return records, pages, size


def main(paths: Sequence[str]) -> dict[str, object]:
    """Times both in turns."""
    seconds: dict[str, list[float]] = {"ours": [], "warcio": []}
    counts: dict[str, tuple[int, int, int]] = {}
    readers: dict[str, Callable[[Sequence[str]], tuple[int, int, int]]] = {"ours": ours, "warcio": warcio}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            began = time.perf_counter()
            counts[name] = read(paths)
            seconds[name].append(time.perf_counter() - began)
    if counts["ours"] != counts["warcio"]:
        raise SystemExit(f"the two read different things: {counts}")
    records, pages, size = counts["ours"]
    told: dict[str, object] = {"records": records, "pages": pages, "page_mb": round(size / 1e6, 1)}
    for name, took in seconds.items():
        middle = statistics.median(took)
        told[name] = {"mb_per_s": round(size / 1e6 / middle), "records_per_s": round(records / middle)}
    return told


def _made(folder: Path) -> str:
    """A file of source code as pages, two other records beside each."""
    text = (inspect.getsource(textwrap) * 5).encode()
    path = folder / "made.warc.gz"
    with path.open("wb") as file:
        for number in range(_PAGES):
            begin = number * 97 % (len(text) - _PAGE_BYTES)
            body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + text[begin : begin + _PAGE_BYTES]
            for kind, block in (("request", b"GET / HTTP/1.1\r\n\r\n"), ("response", body), ("metadata", b"a: b")):
                head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://h/{number}\r\n"
                head += f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
                file.write(gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0))
    return str(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(main(sys.argv[1:] or [_made(Path(made))])))
