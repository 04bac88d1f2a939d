"""Members: the units that compression packs, inflated piece by piece in constant memory.

A gzip member and a Zstandard frame are read by the same four names: `read` gives the next piece, `end` is where the
member ended, `consumed` how much of it was read, `start` where it began. Memory stays constant whatever the member
claims to hold: deflate is asked for a bounded piece, Zstandard is fed one block (at most 128 KiB inflated) at a time.

Sources: RFC 1952 (gzip), RFC 1951 (deflate), RFC 8878 (Zstandard); the `.warc.zst` dictionary frame as proposed by
IIPC (https://iipc.github.io/warc-specifications/specifications/warc-zstd/).
"""

import struct
import zlib
from typing import Protocol

import zstandard

from curation.readers.window import Window

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PIECE = 1 << 18
"""Most bytes that one call of `read` inflates."""
_FEED = 1 << 15
_SALVAGE_FEED = 256
_ZSTD_WINDOW = 1 << 27  # what `zstd -d` accepts without being asked: 128 MiB
_DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"


class MemberError(Exception):
    """A member can't be read on. `resume` is where the next one might begin, None where only a search can tell."""

    def __init__(self, message: str, resume: int | None = None) -> None:
        super().__init__(message)
        self.resume = resume


class DamagedError(MemberError):
    """Its bytes are not what was packed: bad header, bad deflate, bad checksum."""


class CutError(MemberError):
    """The file ends inside it."""


class Member(Protocol):
    """One compressed unit of a file."""

    start: int
    end: int
    """Where it ended; -1 before that."""

    @property
    def consumed(self) -> int:
        """Where in the file the bytes not yet used begin."""

    def read(self) -> bytes:
        """The next piece of at most `PIECE` bytes; b"" at the member's end.

        Raises:
          DamagedError: after everything before the damage was handed out.
          CutError: likewise, at the file's end.
        """


class GzipMember:
    """A gzip member. It is fed from its start in fixed steps, so what is read never depends on how one got there."""

    def __init__(self, window: Window, start: int) -> None:
        self.start, self.end = start, -1
        self._window = window
        self._fed = _gzip_body(window, start)
        self._body = self._fed
        self._deflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc = self._inflated = 0
        self._error: MemberError | None = None

    @property
    def consumed(self) -> int:
        """See `Member`."""
        rest = self._deflate.unused_data if self._deflate.eof else self._deflate.unconsumed_tail
        return self._fed - len(rest)

    def read(self) -> bytes:
        """See `Member`."""
        if self._error:
            raise self._error
        while not self._deflate.eof:
            feed: bytes | memoryview = self._deflate.unconsumed_tail
            if not feed:
                feed = self._window.view(self._fed, _FEED)
                if not feed:
                    raise CutError(f"the file ends inside the gzip member at {self.start}")
                self._fed += len(feed)
            try:
                piece = self._deflate.decompress(feed, PIECE)
            except zlib.error as error:
                return self._salvage(error)
            if piece:
                return self._count(piece)
        if self.end < 0:
            self._close()
        return b""

    def _count(self, piece: bytes) -> bytes:
        self._crc = zlib.crc32(piece, self._crc)
        self._inflated += len(piece)
        return piece

    def _close(self) -> None:
        """Checks the trailer: CRC-32 and length modulo 2^32."""
        tail = self._window.view(self.consumed, 8)
        if len(tail) < 8:
            raise CutError(f"the file ends inside the trailer of the gzip member at {self.start}")
        end = self.consumed + 8
        if struct.unpack("<II", tail) != (self._crc, self._inflated & 0xFFFFFFFF):
            self._error = DamagedError(f"wrong checksum of the gzip member at {self.start}", end)
            raise self._error
        self.end = end

    def _salvage(self, cause: zlib.error) -> bytes:
        """What the failed call had inflated before the damage; the error itself comes with the next call."""
        self._error = DamagedError(f"bad deflate data in the gzip member at {self.start}: {cause}")
        self._error.__cause__ = cause
        deflate, position, seen = zlib.decompressobj(-zlib.MAX_WBITS), self._body, 0
        kept: list[bytes] = []
        step = _SALVAGE_FEED
        while position < self._fed and not deflate.eof:
            before = deflate.copy()
            try:
                piece = deflate.decompress(self._window.view(position, step))
            except zlib.error:
                if step == 1:
                    break
                deflate, step = before, 1
                continue
            position += step
            kept.append(piece[max(0, self._inflated - seen) :])
            seen += len(piece)
        salvaged = b"".join(kept)
        if not salvaged:
            raise self._error
        return self._count(salvaged)


class ZstdMember:
    """A Zstandard frame, with a dictionary where the file brings one."""

    def __init__(self, window: Window, start: int, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self.start, self.end = start, -1
        self._window = window
        head, self._checksum = _zstd_header(window, start)
        self.consumed = start + head
        inflater = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_ZSTD_WINDOW)
        self._frame = inflater.decompressobj()
        self._feed(start, head)
        self._last = False  # the last block is behind

    def read(self) -> bytes:
        """See `Member`."""
        while not self._last:
            head = bytes(self._window.view(self.consumed, 3))
            if len(head) < 3:
                raise CutError(f"the file ends inside the Zstandard frame at {self.start}")
            packed = int.from_bytes(head, "little")
            size = 3 + (1 if packed >> 1 & 3 == 1 else packed >> 3)
            piece = self._feed(self.consumed, size)
            self.consumed += size
            self._last = bool(packed & 1)
            if piece:
                return piece
        if self.end < 0:
            self._feed(self.consumed, self._checksum)
            self.consumed += self._checksum
            self.end = self.consumed
        return b""

    def _feed(self, position: int, size: int) -> bytes:
        view = self._window.view(position, size)
        if len(view) < size:
            raise CutError(f"the file ends inside the Zstandard frame at {self.start}")
        try:
            return self._frame.decompress(view) if size else b""
        except zstandard.ZstdError as error:
            raise DamagedError(f"bad data in the Zstandard frame at {self.start}: {error}") from error


class PlainMember:
    """A file, or the rest of one, that nothing packs."""

    def __init__(self, window: Window, start: int) -> None:
        self.start, self.end, self.consumed = start, -1, start
        self._window = window

    def read(self) -> bytes:
        """See `Member`."""
        piece = bytes(self._window.view(self.consumed, PIECE))
        self.consumed += len(piece)
        if not piece:
            self.end = self.consumed
        return piece


def zstd_dictionary(window: Window) -> tuple[zstandard.ZstdCompressionDict | None, int]:
    """The dictionary that a `.warc.zst` file may open with, and where the first frame begins.

    Raises:
      DamagedError: it is packed and can't be unpacked.
    """
    if bytes(window.view(0, 4)) != _DICTIONARY_MAGIC:
        return None, 0
    size = int.from_bytes(window.view(4, 4), "little")
    if size > _ZSTD_WINDOW:
        raise DamagedError(f"a dictionary of {size} bytes is over the limit of {_ZSTD_WINDOW}")
    data = bytes(window.view(8, size))
    if data.startswith(ZSTD_MAGIC):
        try:
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError as error:
            raise DamagedError(f"the dictionary at the head of the file can't be unpacked: {error}") from error
    return zstandard.ZstdCompressionDict(data), 8 + size


def skippable(window: Window, position: int) -> int:
    """Size of the Zstandard skippable frame at `position`, 0 where there is none."""
    head = bytes(window.view(position, 8))
    if len(head) < 8 or head[1:4] != b"\x2a\x4d\x18" or head[0] >> 4 != 5:
        return 0
    return 8 + int.from_bytes(head[4:], "little")


def _gzip_body(window: Window, start: int) -> int:
    """Where the deflate data of the member at `start` begins."""
    head = bytes(window.view(start, 10))
    if 0 < len(head) < 10 and GZIP_MAGIC.startswith(head[:3]):
        raise CutError(f"the file ends inside the header of the gzip member at {start}")
    if head[:3] != GZIP_MAGIC or head[3] & 0xE0:
        raise DamagedError(f"no gzip member begins at {start}: {head!r}")
    flags, position = head[3], start + 10
    if flags & 4:  # FEXTRA
        position += 2 + int.from_bytes(window.view(position, 2), "little")
    for flag in (8, 16):  # FNAME, FCOMMENT
        if flags & flag:
            zero = window.find(b"\0", position, position + 65536)
            if zero < 0:
                raise DamagedError(f"the header of the gzip member at {start} has a name without an end")
            position = zero + 1
    return position + 2 if flags & 2 else position  # FHCRC


def _zstd_header(window: Window, start: int) -> tuple[int, int]:
    """Sizes of the frame's header and of its checksum (RFC 8878, 3.1.1.1)."""
    head = bytes(window.view(start, 5))
    if 0 < len(head) < 5 and ZSTD_MAGIC.startswith(head[:4]):
        raise CutError(f"the file ends inside the header of the Zstandard frame at {start}")
    if head[:4] != ZSTD_MAGIC or head[4] & 8:
        raise DamagedError(f"no Zstandard frame begins at {start}: {head!r}")
    flags = head[4]
    single = flags >> 5 & 1
    size = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3] + ((1 if single else 0), 2, 4, 8)[flags >> 6]
    return size, 4 * (flags >> 2 & 1)
