"""JSONL: a line is a page. Plain files are read by ranges, packed ones from their start."""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from curation.readers.base import Reader
from curation.readers.members import PlainMember
from curation.readers.rows import faulty_row, half_surrogate, row_to_page, too_deep
from curation.readers.streams import BombError, Stream, reason
from curation.readers.warc import open_members
from curation.readers.window import Window
from schemas.records import Fault, Page
from schemas.tasks import Compression

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _Line:
    offset: int
    size: int
    """With its line break."""
    content: bytes | None
    """Without its line break; None where it is over the limit."""


class JsonlReader(Reader):
    """Pages of a range of a plain file, or of a whole packed one. Offsets count inflated bytes."""

    def _read(self, handle: BinaryIO) -> Generator[Page]:
        window = Window(handle)
        if self.task.start >= self.task.end:
            return
        if self.task.source.compression is Compression.NONE:
            begin = self._first_line(window)
            if begin < 0:
                self._nothing_in_range(window)
                return
            self.first = begin
            stream = Stream(lambda at: PlainMember(window, at), begin, None)
        else:
            opener, begin = open_members(window, self.task.source.compression)
            stream = Stream(opener, begin, self.limits, joined=True)
            begin = 0
        yield from self._lines(stream, begin)
        if self.task.source.compression is not Compression.NONE:
            self.end = window.size()

    def _first_line(self, window: Window) -> int:
        """Where the first line begins within the range; -1 for none."""
        if self.task.exact or not self.task.start:
            return self.task.start
        broken = window.find(b"\n", self.task.start - 1, self.task.end - 1)
        return broken + 1 if broken >= 0 else -1

    def _lines(self, stream: Stream, begin: int) -> Iterator[Page]:
        source, end = self.task.source, begin
        for line in lines(stream, self.limits.max_line_bytes, begin, self.task.end):
            end = line.offset + line.size
            if stream.error is not None:
                end = line.offset  # the line that the error cut has its row below
            elif line.content is None:
                yield faulty_row(Fault("line_too_long", line.size, self.limits.max_line_bytes), line.offset, source)
            elif not line.content.strip():
                self.skipped["blank"] += 1
            else:
                yield self._page(line.content, line.offset)
        if stream.error is not None:
            had = begin + stream.position - end
            bound = self.limits.max_member_bytes if isinstance(stream.error, BombError) else 0
            yield faulty_row(Fault(reason(stream.error), had, bound), end, source)
        self.end = end

    def _page(self, content: bytes, offset: int) -> Page:
        row = parse_line(content.removeprefix(_BOM) if offset == 0 else content)
        if isinstance(row, Fault):
            return faulty_row(row, offset, self.task.source)
        return row_to_page(row, offset, self.task.source)


def lines(stream: Stream, limit: int, begin: int, end: int) -> Iterator[_Line]:
    """Lines that start before `end`, in constant memory.

    Args:
      stream: stands at the first line.
      limit: most bytes of a line that are kept.
      begin: the first line's offset.
      end: where no further line may start.
    """
    offset, size, parts = begin, 0, list[bytes]()
    for piece in stream.pieces():
        at = 0
        while at < len(piece):
            broken = piece.find(b"\n", at)
            stop = broken if broken >= 0 else len(piece)
            size += stop - at
            if size <= limit:
                parts.append(piece[at:stop])
            else:
                parts.clear()
            at = stop + 1
            if broken < 0:
                break
            yield _Line(offset, size + 1, b"".join(parts) if size <= limit else None)
            offset, size = offset + size + 1, 0
            parts.clear()
            if offset >= end:
                return
    if size:
        yield _Line(offset, size, b"".join(parts) if size <= limit else None)


def parse_line(raw: bytes) -> dict[str, Any] | Fault:
    """The object that a line is, or why it is none."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Fault("invalid_utf8", error.start, len(raw))
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also numbers of thousands of digits
        return Fault("bad_json", len(raw))
    if not isinstance(row, dict) or too_deep(row):
        return Fault("bad_json", len(raw))
    return half_surrogate(row, text) or row
