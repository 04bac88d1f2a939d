"""Builds archives of every soundness, and reads them whole or by ranges."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from curation.plan import close_chain
from curation.readers import Limits, Reader, open_task
from schemas.records import Page
from schemas.tasks import Compression, Format, Source, Task

END = 2**63 - 1
LIMITS = Limits()


def http(body: bytes, content_type: str = "text/html") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(frozen=True)
class Archives:
    """Writes into a folder of the test's own."""

    folder: Path

    def record(
        self,
        body: bytes = b"",
        *,
        kind: str = "response",
        number: int = 0,
        length: int | str | None = None,
        media: str = "application/http; msgtype=response",
        extra: Sequence[str] = (),
    ) -> bytes:
        """A WARC record, its line breaks behind it included. `length` None tells the truth, "" leaves it out."""
        fields = [
            "WARC/1.0",
            f"WARC-Type: {kind}",
            f"WARC-Record-ID: <urn:uuid:{number:032x}>",
            "WARC-Date: 2024-03-01T00:00:00Z",
            f"WARC-Target-URI: http://example.org/{number}",
            *([f"Content-Type: {media}"] if media else []),
            *([] if length == "" else [f"Content-Length: {len(body) if length is None else length}"]),
            *extra,
        ]
        return "\r\n".join(fields).encode() + b"\r\n\r\n" + body + b"\r\n\r\n"

    def page(self, number: int, size: int = 300) -> bytes:
        """A sound response record with a body of its own, hard to pack."""
        noise = zlib.compress(str(number).encode() * 3).hex() * (size // 40 + 1)
        return self.record(http(noise[:size].encode()), number=number)

    def write(self, data: bytes | Sequence[bytes], name: str = "a.warc.gz") -> Path:
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else b"".join(data))
        return path

    def source(self, path: Path, *, dump: str = "") -> Source:
        """As `curation.inputs` would make it, by name."""
        packed = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}.get(path.suffix, Compression.NONE)
        stem = path.name.removesuffix(path.suffix) if packed is not Compression.NONE else path.name
        form = Format("warc" if stem.endswith(".wet") else stem.rpartition(".")[2])
        return Source(str(path), path.name, path.stat().st_size, "", form, packed, dump)

    def task(self, path: Path, start: int = 0, end: int = END, *, exact: bool | None = None) -> Task:
        return Task(f"{start}-{end}", 0, self.source(path), start, end, exact=start == 0 if exact is None else exact)

    def read(self, path: Path, start: int = 0, end: int = END, *, limits: Limits = LIMITS) -> tuple[list[Page], Reader]:
        reader = open_task(self.task(path, start, end), limits)
        return list(reader), reader

    def chain(self, path: Path, cuts: Sequence[int], limits: Limits = LIMITS) -> tuple[list[Page], int]:
        """Reads by ranges until the chain of bounds closes; the pages, and how many rounds that took."""
        tasks = [self.task(path, a, b) for a, b in pairwise(cuts)]
        done: dict[Task, tuple[list[Page], Reader]] = {}
        for rounds in range(1, len(tasks) + 2):
            for task in tasks:
                if task not in done:
                    reader = open_task(task, limits)
                    done[task] = (list(reader), reader)
            again = close_chain(tasks, [(done[t][1].first, done[t][1].end) for t in tasks])
            if again == tasks:
                return [page for task in tasks for page in done[task][0]], rounds
            tasks = again
        raise AssertionError("the chain does not close")

    def faults(self, pages: Sequence[Page]) -> list[str]:
        """Reasons by page, empty for sound ones."""
        return [page.fault.reason if page.fault else "" for page in pages]


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return Archives(tmp_path)
