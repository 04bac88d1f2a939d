"""Cuts a stream into records, each with what is wrong with it; a false length never swallows the next record."""

from collections.abc import Iterator
from dataclasses import dataclass

from curation.readers.heads import LINE_OVERLAP, Dialect, Head, head_size, parse_head
from curation.readers.limits import Limits
from curation.readers.streams import BombError, Stream, reason
from schemas.records import Fault

_BREAKS = b"\r\n"
_LINE_BREAKS = frozenset({b"\r", b"\n"})
_LOOK = 8192  # enough for nearly every head


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands in its stream. `head` is None where it can't be read; `body` is empty beside a fault."""

    offset: int
    """Of its first byte in the stream."""
    head: Head | None
    body: bytes = b""
    fault: Fault | None = None


def records(stream: Stream, dialect: Dialect, limits: Limits, *, packed: bool = True) -> Iterator[Record]:
    """The stream's records.

    Args:
      stream: stands at the first record.
      dialect: WARC or ARC.
      limits: bounds of heads and blocks.
      packed: the stream was compressed, so that its clean end is proof that nothing was cut off.

    Yields:
      Each record once. Bytes that are no record are one record without a head. What a stream's error spoilt is the
      last record.
    """
    splitter = _Splitter(stream, dialect, limits, packed)
    while (record := splitter.next()) is not None:
        yield record


class _Splitter:
    def __init__(self, stream: Stream, dialect: Dialect, limits: Limits, packed: bool) -> None:
        self._stream, self._dialect, self._limits, self._packed = stream, dialect, limits, packed
        self._false_lengths = 0
        self._error_told = False

    def next(self) -> Record | None:
        """The next record, None at the end."""
        stream = self._stream
        while stream.peek(1) in _LINE_BREAKS:
            ahead = stream.peek(_LOOK)
            stream.skip(len(ahead) - len(ahead.lstrip(_BREAKS)))
        offset = stream.position
        if not stream.peek(1):
            if stream.error is None or self._error_told:
                return None
            return self._told(Record(offset, None, fault=self._stream_fault(0, known=False)))
        size = self._head_size()
        head = parse_head(stream.peek(size), self._dialect) if size else None
        if head is None:
            return self._unreadable(offset)
        stream.skip(size)
        if head.length is None:
            return self._false_length(offset, head, stream.position, -1)
        return self._block(offset, head, head.length)

    def _head_size(self) -> int:
        """Size of the head ahead, 0 where there is none within bounds."""
        look = _LOOK
        if not self._dialect.opening.match(self._stream.peek(LINE_OVERLAP)):
            return 0
        while True:
            ahead = self._stream.peek(look)
            size = head_size(ahead, self._dialect)
            if size or len(ahead) < look or look >= self._limits.max_head_bytes:
                return size
            look = min(4 * look, self._limits.max_head_bytes)

    def _block(self, offset: int, head: Head, length: int) -> Record:
        stream, begin = self._stream, self._stream.position
        large = length > self._limits.max_record_bytes
        if self._false_lengths > self._limits.max_false_lengths and not large and self._followed_within(length):
            return self._false_length(offset, head, begin, length)
        body = b"" if large else stream.take(length)
        had = self._skip_rest(begin + length) if large else len(body)
        if had < length:
            return self._short(offset, head, begin, length, had)
        if not self._at_next():
            return self._false_length(offset, head, begin, length)
        if stream.error is not None and not stream.peek(16).strip(_BREAKS):
            return self._told(Record(offset, head, fault=self._stream_fault(had)))
        if large:
            return Record(offset, head, fault=Fault("record_too_large", length, self._limits.max_record_bytes))
        return Record(offset, head, body)

    def _followed_within(self, size: int) -> bool:
        """Whether a record visibly begins within the next `size` bytes, looking ahead no further than it must."""
        look = 2 * LINE_OVERLAP
        while True:
            ahead = self._stream.peek(min(look, size + LINE_OVERLAP))
            match = self._dialect.following.search(ahead)
            if match:
                return match.start() < size
            if len(ahead) < look:
                return False
            look *= 4

    def _skip_rest(self, end: int) -> int:
        """Passes over the rest of a large block; where lengths are not to be trusted, only up to a next record."""
        begin = self._stream.position
        if self._false_lengths > self._limits.max_false_lengths:
            self._stream.find(self._dialect.following, LINE_OVERLAP, end)
        else:
            self._stream.skip(end - begin)
        return self._stream.position - begin

    def _at_next(self) -> bool:
        """Whether the stream stands where a record may end: at line breaks, then another record or the end."""
        ahead = self._stream.peek(16).lstrip(_BREAKS)
        if not ahead:
            return True
        if not self._dialect.opening.match(ahead):
            ahead = self._stream.peek(LINE_OVERLAP).lstrip(_BREAKS)
        return self._dialect.opening.match(ahead) is not None

    def _short(self, offset: int, head: Head, begin: int, length: int, had: int) -> Record:
        """The stream ended inside the block."""
        error = self._stream.error
        if error is None:
            self._stream.seek(begin)
            followed = self._stream.find(self._dialect.following, LINE_OVERLAP) >= 0
            if self._packed or followed:
                return self._false_length(offset, head, begin, length)
            return Record(offset, head, fault=Fault("truncated_record", had, length))
        return self._told(Record(offset, head, fault=self._stream_fault(had, length)))

    def _false_length(self, offset: int, head: Head, begin: int, length: int) -> Record:
        """Ends the record where the next one visibly begins, or with the stream."""
        stream = self._stream
        self._false_lengths += 1
        stream.seek(max(offset, begin - 1))
        found = stream.find(self._dialect.following, LINE_OVERLAP)
        actual = stream.position - begin - (3 if found >= 0 else 4)  # without the line breaks behind the block
        if found < 0 and stream.error is not None:
            return self._told(Record(offset, head, fault=self._stream_fault(actual, max(length, 0))))
        return Record(offset, head, fault=Fault("false_length", length, max(actual, 0)))

    def _unreadable(self, offset: int) -> Record:
        """Passes over what is no record, up to the next one or the stream's end."""
        stream = self._stream
        stream.skip(1)
        found = stream.find(self._dialect.following, LINE_OVERLAP)
        had = stream.position - offset
        if found < 0 and stream.error is not None:
            return self._told(Record(offset, None, fault=self._stream_fault(had, known=False)))
        return Record(offset, None, fault=Fault("unreadable_record", had))

    def _told(self, record: Record) -> Record:
        self._error_told = True
        return record

    def _stream_fault(self, had: int, wanted: int = 0, *, known: bool = True) -> Fault:
        """What the stream's error means for the record that it spoilt, of whose block `had` bytes were there."""
        error = self._stream.error
        assert error is not None, "asked only where there is one"
        bomb = isinstance(error, BombError)
        return Fault(reason(error, known=known), had, self._limits.max_member_bytes if bomb else wanted)
