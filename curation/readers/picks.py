"""Single records of a WARC, by offset and length: what an index names. Neighbours share one ranged read."""

from collections.abc import Generator, Iterator, Sequence
from io import BytesIO
from typing import BinaryIO

from curation.readers.base import Reader
from curation.readers.heads import ARC, WARC
from curation.readers.members import PlainMember
from curation.readers.pages import skipped_kind, to_page
from curation.readers.records import Record, records
from curation.readers.streams import Stream
from curation.readers.warc import open_members
from curation.readers.window import Window
from schemas.records import Fault, Page
from schemas.tasks import Compression, Format
from storage.paths import read_range

MAX_GAP = 64 << 10
"""Bytes between two records that are read and thrown away rather than asked around."""
MAX_READ = 8 << 20
"""Most bytes of one read, unless a single record is larger."""


def coalesce(records: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Groups (offset, length) pairs, sorted by offset, into what one read fetches."""
    group: list[tuple[int, int]] = []
    for offset, length in records:
        if group:
            begin = group[0][0]
            if offset - sum(group[-1]) > MAX_GAP or offset + length - begin > MAX_READ:
                yield group
                group = []
        group.append((offset, length))
    if group:
        yield group


class PickReader(Reader):
    """Pages of the records that a task lists, each parsed from its own bytes alone."""

    def _open(self) -> BinaryIO:
        return BytesIO()  # the file is read by ranges and never opened as a whole

    def _read(self, handle: BinaryIO) -> Generator[Page]:
        picked = self.task.records
        self.first, self.end = picked[0][0], sum(picked[-1])
        for group in coalesce(picked):
            begin = group[0][0]
            data = read_range(self.task.source.path, begin, max(map(sum, group)) - begin)
            for offset, length in group:
                yield from self._record(data[offset - begin : offset - begin + length], offset, length)

    def _record(self, data: bytes, offset: int, length: int) -> Iterator[Page]:
        source = self.task.source
        window = Window(BytesIO(data))
        dialect = ARC if source.format is Format.ARC else WARC
        packed = source.compression is not Compression.NONE
        if packed:
            stream = Stream(open_members(window, source.compression)[0], 0, self.limits)
        else:
            stream = Stream(lambda at: PlainMember(window, at), 0, None)
        record = next(records(stream, dialect, self.limits, packed=packed), None)
        if record is None or not data:
            reason = "unreadable_record" if data else "truncated_record"
            record = Record(0, None, fault=Fault(reason, len(data), length))
        kind = skipped_kind(record)
        if kind:
            self.skipped[kind] += 1
        else:
            yield to_page(record, offset, source)
