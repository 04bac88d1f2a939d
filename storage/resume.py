"""A remote file that outlives its connections: reads go on from the byte reached."""

import io
import os
from collections.abc import Callable
from typing import Protocol

from storage.errors import ChangedError, StorageError
from storage.retry import Backoff, failures
from storage.stores import told

_SKIP = 256 * 1024  # bytes ahead that are cheaper to read and forget than to ask for anew
_PIECE = 4 * 2**20


class RangeStream(Protocol):
    """The bytes of a file from some offset on, over one connection."""

    total: int | None
    """Bytes of the whole file, None where the store does not say."""
    etag: str
    """The store's tag of the file's version, empty where it has none."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end. Raises one of `retry.failures` where the connection breaks."""

    def close(self) -> None:
        """Drops the connection."""


class ResumingReader(io.RawIOBase):
    """A seekable raw reader over streams that may break.

    Args:
        name: What the file is called in errors.
        open_at: Opens a stream at an offset.
        backoff: Patience for each single read; a read that brings bytes starts the count anew.

    Raises:
        ChangedError: The store's tag or the size is another one after a reconnection.
        StorageError: Patience is used up, or the store refuses for good.
    """

    def __init__(self, name: str, open_at: Callable[[int], RangeStream], backoff: Backoff) -> None:
        super().__init__()
        self._name = name
        self._open_at = open_at
        self._backoff = backoff
        self._stream: RangeStream | None = None
        self._stream_at = 0
        self._position = 0
        self._version: tuple[int | None, str] | None = None

    @property
    def name(self) -> str:
        """The path, as files have it."""
        return self._name

    @property
    def etag(self) -> str:
        """The store's tag, empty before the first read and where there is none."""
        return self._version[1] if self._version else ""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves without touching the store, except for the size where it is not known yet."""
        if whence == os.SEEK_SET:
            position = offset
        elif whence == os.SEEK_CUR:
            position = self._position + offset
        else:
            position = self._size() + offset
        if position < 0:
            raise ValueError(f"cannot seek to {position!r} in {self._name!r}: before the first byte")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills up to `len(buffer)` bytes; 0 only at the end of the file."""
        if not len(buffer):
            return 0
        data = self._patiently(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        self._stream_at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """All that is left: by the base class's pieces of 8 KiB, each is a request of a store that streams nothing."""
        return b"".join(iter(lambda: self.read(_PIECE), b""))

    def close(self) -> None:
        self._drop()
        super().close()

    def _size(self) -> int:
        if self._version is None:
            self._patiently(0)
        total = self._version[0] if self._version else None
        if total is None:
            raise StorageError(f"cannot seek from the end of {self._name!r}: its server does not tell the size")
        return total

    def _patiently(self, size: int) -> bytes:
        tries = self._backoff.tries(f"reading {self._name!r} at byte {self._position:,}", self._name)
        with told("read", self._name):
            while True:
                try:
                    data = self._attempt(size)
                except failures() as error:
                    self._drop()
                    tries.failed(error)
                else:
                    tries.heard()
                    return data

    def _attempt(self, size: int) -> bytes:
        total = self._version[0] if self._version else None
        if total is not None and self._position >= total:
            return b""
        stream = self._connected()
        if not size or (stream.total is not None and self._position >= stream.total):
            return b""
        data = stream.read(size)
        if not data and stream.total is not None:
            raise ConnectionResetError(f"the stream ended at byte {self._position:,} of {stream.total:,}")
        return data

    def _connected(self) -> RangeStream:
        """The stream, standing at the position."""
        if self._stream is not None and 0 <= self._position - self._stream_at <= _SKIP:
            while self._stream_at < self._position:
                skipped = self._stream.read(self._position - self._stream_at)
                if not skipped:
                    return self._stream
                self._stream_at += len(skipped)
            return self._stream
        self._drop()
        stream = self._open_at(self._position)
        self._stream, self._stream_at = stream, self._position
        version = (stream.total, stream.etag)
        if self._version is not None and version != self._version:
            raise ChangedError(
                f"{self._name!r} changed while it was read: size and tag were {self._version!r}, now {version!r}; "
                "run the same command again to read the new file from its start"
            )
        self._version = version
        return stream

    def _drop(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()
