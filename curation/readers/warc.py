"""WARC, WET and ARC: members are found and framed here, heads are parsed by warcio, bodies stay as they are.

What is read from a member's start on depends on the file's bytes alone, never on the range that led there. So a chain
of ranges in which each begins where the one before ended reads what one pass over the file reads; `curation.plan`
closes the chain where the first guess of a range was wrong.
"""

from collections.abc import Generator, Iterator
from typing import BinaryIO

from curation.readers.base import FormatError, Reader
from curation.readers.heads import ARC, LINE_OVERLAP, WARC
from curation.readers.limits import Limits
from curation.readers.members import (
    GZIP_MAGIC,
    ZSTD_MAGIC,
    CutError,
    DamagedError,
    GzipMember,
    Member,
    PlainMember,
    ZstdMember,
    skippable,
    zstd_dictionary,
)
from curation.readers.pages import skipped_kind, to_page
from curation.readers.records import Record, records
from curation.readers.streams import BombError, OpenMember, Stream
from curation.readers.window import BLOCK, Window
from schemas.records import Fault, Page
from schemas.tasks import Compression, Format, Task

MAGIC = {Compression.GZIP: GZIP_MAGIC, Compression.ZSTD: ZSTD_MAGIC}


class ArchiveReader(Reader):
    """Pages of a range of a WARC or ARC file.

    A record's offset is that of its member. Where a member holds several, the next ones are numbered on from there
    (+1, +2, …); where already the file's first member does, the file is one stream, read by its first task alone, and
    offsets count inflated bytes. In a plain file they count the file's bytes; its ranges must begin at records.
    """

    def __init__(self, task: Task, limits: Limits) -> None:
        super().__init__(task, limits)
        self._dialect = ARC if task.source.format is Format.ARC else WARC
        self._joined = False
        self._base = 0  # inflated bytes before this stream, once the file is known to be one

    def _read(self, handle: BinaryIO) -> Generator[Page]:
        window = Window(handle)
        if self.task.start >= self.task.end:
            return
        if self.task.source.compression is Compression.NONE:
            yield from self._plain(window)
            return
        self._check_packed(window)
        opener, begin = open_members(window, self.task.source.compression)
        if not self.task.exact and self.task.start:
            self.first = self._find(window, opener, self.task.start, self.task.end)
            if self.first < 0:
                self._nothing_in_range(window)
                return
        yield from self._members(window, opener, max(self.first, begin))

    def _plain(self, window: Window) -> Iterator[Page]:
        start = self.task.start
        stream = Stream(lambda at: PlainMember(window, at), start, None)
        for record in records(stream, self._dialect, self.limits, packed=False):
            if start + record.offset >= self.task.end:
                self.end = start + record.offset
                return
            yield from self._page(record, start + record.offset)
        self.end = window.size()

    def _check_packed(self, window: Window) -> None:
        """A file that is named as if it were packed and isn't would be one unreadable row; better to say so."""
        if self.task.start == 0 and self._dialect.opening.match(bytes(window.view(0, LINE_OVERLAP))):
            raise FormatError(
                f"{self.task.source.path}: its name says {self.task.source.compression}, its bytes are not packed; "
                f"rename it without the suffix"
            )

    def _members(self, window: Window, opener: OpenMember, position: int) -> Iterator[Page]:
        while position < self.task.end or self._joined:
            head = window.view(position, 1)
            if not head:
                break
            if head[0] == 0:
                position = self._pass_padding(window, position)
                continue
            stream = Stream(opener, position, self.limits, joined=self._joined)
            yield from self._member(stream, position)
            position = self._after(window, opener, stream, position)
            self.end = position
        self.end = position

    def _member(self, stream: Stream, position: int) -> Iterator[Page]:
        """The pages of one member, or of all of them where they are one stream."""
        for number, record in enumerate(records(stream, self._dialect, self.limits)):
            if self._joined:
                yield from self._page(record, self._base + record.offset)
                continue
            if number and number >= stream.consumed - position - 8:  # offsets would run into the next member's
                yield from self._page(Record(0, None, fault=Fault("gzip_bomb", number, number)), position + number)
                stream.skip(self.limits.max_member_bytes)
                break
            yield from self._page(record, position + number)
            if position == 0 and number == 0 and self._another(stream):
                self._joined = True
                stream.join()
        if self._joined:
            self._base += stream.position + (stream.error is not None)  # past the offset of what the error spoilt

    def _another(self, stream: Stream) -> bool:
        return self._dialect.opening.match(stream.peek(LINE_OVERLAP).lstrip(b"\r\n")) is not None

    def _page(self, record: Record, offset: int) -> Iterator[Page]:
        kind = skipped_kind(record)
        if kind:
            self.skipped[kind] += 1
        else:
            yield to_page(record, offset, self.task.source)

    def _pass_padding(self, window: Window, position: int) -> int:
        """Behind the zero bytes at `position`, as block devices and cut downloads leave them."""
        self.skipped["padding"] += 1
        while block := bytes(window.view(position, BLOCK)):
            rest = block.lstrip(b"\0")
            position += len(block) - len(rest)
            if rest:
                break
        return position

    def _after(self, window: Window, opener: OpenMember, stream: Stream, position: int) -> int:
        """Where the next member begins, or the file ends."""
        error = stream.error
        if error is None:
            return stream.consumed
        if isinstance(error, CutError):
            return window.size()
        if error.resume is not None and (not window.view(error.resume, 1) or self._opens(opener, error.resume)):
            return error.resume
        begin = stream.consumed if isinstance(error, BombError) else stream.member_start + 1
        found = self._find(window, opener, begin, None)
        return window.size() if found < 0 else found

    def _find(self, window: Window, opener: OpenMember, begin: int, end: int | None) -> int:
        """The first place within [begin, end) where a member seems to begin that holds a record; -1 for none."""
        magic = MAGIC[self.task.source.compression]
        end = window.size() if end is None else end
        while begin < end:
            begin = window.find(magic, begin, end)
            if begin < 0 or self._opens(opener, begin):
                return begin
            begin += 1
        return -1

    def _opens(self, opener: OpenMember, position: int) -> bool:
        """Whether a member that begins there holds a record. It may still lie inside somebody's body."""
        stream = Stream(opener, position, self.limits)
        return self._dialect.opening.match(stream.peek(LINE_OVERLAP)) is not None


def open_members(window: Window, compression: Compression) -> tuple[OpenMember, int]:
    """How members of a file are opened, and where its first one begins.

    Raises:
      FormatError: the dictionary at the head of a `.warc.zst` file can't be used.
    """
    if compression is Compression.GZIP:
        return lambda at: GzipMember(window, at), 0
    try:
        dictionary, start = zstd_dictionary(window)
    except DamagedError as error:
        raise FormatError(str(error)) from error

    def opener(at: int) -> Member:
        while size := skippable(window, at):
            at += size
        return ZstdMember(window, at, dictionary)

    return opener, start
