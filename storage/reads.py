"""Opening files for reading, wherever they are: seekable, buffered, and mended underneath where connections break."""

import io
from typing import Any, BinaryIO, cast

from storage import http, stores
from storage.errors import PathError
from storage.resume import RangeStream, ResumingReader
from storage.retry import Backoff
from storage.stores import is_local

_BUFFER = 256 * 1024
_BLOCK = 4 * 2**20  # bytes a request of a store without streaming reads
BACKOFF = Backoff()
"""The patience of everything that is not told another."""


def open_read(path: str, *, backoff: Backoff = BACKOFF) -> BinaryIO:
    """Opens a file for reading: seekable and buffered. Broken connections are mended underneath.

    Raises:
        MissingError: There is no such file (for HTTP not before the first read).
        StorageError: It cannot be opened.
    """
    if is_local(path):
        with stores.told("read", path):
            return stores.local(path).open("rb", buffering=_BUFFER)
    if http.is_http(path):
        reader = ResumingReader(path, lambda start: http.open_range(path, start), backoff)
        return cast(BinaryIO, io.BufferedReader(reader, _BUFFER))
    reader = ResumingReader(path, lambda start: _open_remote(path, start), backoff)
    return cast(BinaryIO, io.BufferedReader(reader, _BLOCK))


def read_range(path: str, start: int, length: int, *, backoff: Backoff = BACKOFF) -> bytes:
    """Bytes [start, start + length) of a file, fewer where it ends before.

    Raises:
        ValueError: A negative start or length.
        StorageError: It cannot be read.
    """
    if start < 0 or length < 0:
        raise ValueError(f"bytes {start!r} to {start!r} + {length!r} of {path!r}: neither number may be negative")
    if is_local(path):
        with stores.told("read", path), stores.local(path).open("rb", buffering=0) as file:
            return _read_all(file, start, length)
    if http.is_http(path):
        stop = start + length
        reader = ResumingReader(path, lambda at: http.open_range(path, at, stop), backoff)
    elif stores.protocol(path) in stores.S3:
        return _s3_range(path, start, length, backoff)
    else:
        reader = ResumingReader(path, lambda at: _open_remote(path, at), backoff)
    with reader:
        return _read_all(reader, start, length)


def _s3_range(path: str, start: int, length: int, backoff: Backoff) -> bytes:
    """One request a range, without asking for the size first: an index of records makes very many."""
    fs, inner = stores.remote(path)
    if not length:
        return b""
    with stores.told("read", path):
        try:
            return bytes(backoff.call("reading", path, lambda: fs.cat_file(inner, start=start, end=start + length)))
        except OSError as error:
            if "InvalidRange" in repr(error.__cause__):  # starts at the end or past it
                return b""
            raise


def _read_all(file: io.RawIOBase | io.FileIO, start: int, length: int) -> bytes:
    file.seek(start)
    parts: list[bytes] = []
    while length:
        part = file.read(length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _FsspecStream:
    """A file of fsspec read by exact ranges, each one request; s3fs asks for the ETag of its opening."""

    def __init__(self, file: Any, total: int | None, etag: str) -> None:
        self._file = file
        self.total = total
        self.etag = etag

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


def _open_remote(path: str, start: int) -> RangeStream:
    fs, inner = stores.remote(path)
    file = fs.open(inner, "rb", cache_type="none")
    found = getattr(file, "details", None) or fs.info(inner)
    if found.get("type") == "directory":
        raise PathError(f"cannot read {path!r}: it is a folder; give a file")
    file.seek(start)
    return _FsspecStream(file, found.get("size"), stores.tag(found))
