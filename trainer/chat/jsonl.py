"""Objects out of JSONL files, each with the place it came from."""

import glob
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

from storage.paths import FileInfo, expand, join, open_read
from storage.stores import is_local, local
from trainer.errors import IntegrityError, TrainerError
from trainer.held import held

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One line's object."""

    where: str
    """`file:line`, for errors."""
    id: str
    """`name:line`, for objects that have none; the same wherever the file lies."""
    value: dict[str, Any]


def rows(path: str, sha256: str = "") -> Iterator[Row]:
    """Every line's object of a file, of a glob's files, or of a folder's, by name.

    Args:
      path: file, glob or folder, wherever storage reaches; `SUFFIXES`.
      sha256: of one file, what it must hold: it is copied to a temporary file and found to be that before its first
        row is given out. Empty: anything.

    Raises:
      TrainerError: there is no such file, or a line is no JSON object; it says which, and what stands there.
      IntegrityError: it holds something else.
      StorageError: it can't be read.
    """
    for file in files(path):
        name = file.path.rpartition("/")[2]
        with _opened(file.path, sha256) as opened:
            for number, line in enumerate(_lines(opened, file.path), start=1):
                if line.strip():
                    where = f"{file.path}:{number}"
                    yield Row(where, f"{name}:{number}", _object(line, where))


def files(path: str) -> list[FileInfo]:
    """The files that a path stands for: itself, a glob's, or a folder's, by name.

    Raises:
      TrainerError: a folder without any.
      StorageError: there is no such file.
    """
    named = glob.has_magic(path) or path.endswith(SUFFIXES)
    if named or (is_local(path) and not local(path).is_dir()):
        return expand(path)
    found = [file for file in expand(join(path, "*")) if file.path.endswith(SUFFIXES)]
    if not found:
        raise TrainerError(f"folder {path!r} holds no file that ends with {', '.join(SUFFIXES)}")
    return found


@contextmanager
def _opened(path: str, sha256: str) -> Iterator[BinaryIO]:
    with open_read(path) as file:
        if not sha256:
            yield file
            return
        with held(file) as (copy, found, size):
            if found != sha256:
                raise IntegrityError(
                    f"{path!r} has changed since it was looked at: it had sha256 {sha256}, has {found} over {size:,} "
                    "bytes; give the same command again when nobody writes to it"
                )
            yield copy


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8, too
        raise TrainerError(f"{where}: {line[:80]!r} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise TrainerError(f"{where}: {line[:80]!r} is no JSON object")
    return value


def _lines(opened: BinaryIO, path: str) -> Iterator[bytes]:
    try:
        if path.endswith(".gz"):
            with gzip.open(opened) as unpacked:
                yield from unpacked
        elif path.endswith(".zst"):
            yield from _zstd_lines(opened)
        else:
            yield from opened
    except (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError) as error:
        raise TrainerError(f"{path!r} can't be unpacked: {error}; is it whole?") from error


def _zstd_lines(opened: BinaryIO) -> Iterator[bytes]:
    """Lines over all frames; zstandard's own reader takes a file that breaks off for one that ends."""
    rest, frame, begun = b"", zstandard.ZstdDecompressor().decompressobj(), False
    while packed := opened.read(_CHUNK):
        while packed:
            *lines, rest = (rest + frame.decompress(packed)).split(b"\n")
            yield from lines
            packed, begun = (frame.unused_data, False) if frame.eof else (b"", True)
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
    if begun:
        raise EOFError("it ends inside a frame")
    yield rest
