"""Texts to train and evaluate on: JSONL (plain, gz, zst) or Parquet with a `text` column, wherever storage reaches."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from storage.paths import expand, open_read

_BATCH_ROWS = 256


class TextsError(ValueError):
    """A file or a line that holds no text."""


def texts(patterns: Iterable[str]) -> Iterator[str]:
    """Every text of the files that the patterns name, in the order of patterns, paths and rows; empty ones left out.

    Raises:
      TextsError: a file of another kind, or a line or column that is not as it should be; it says where.
      StorageError: nothing matches a pattern, or a file can't be read.
    """
    for pattern in patterns:
        for file in expand(str(pattern)):
            reader = _parquet if file.path.endswith(".parquet") else _jsonl
            with open_read(file.path) as opened:
                yield from (text for text in reader(opened, file.path) if text.strip())


def require(*sides: Iterable[str]) -> None:
    """Sees that every pattern names files, before any is read.

    Raises:
      StorageError: nothing matches a pattern, or it is no file.
    """
    for patterns in sides:
        for pattern in patterns:
            expand(str(pattern))


def _parquet(opened: BinaryIO, path: str) -> Iterator[str]:
    try:
        table = pq.ParquetFile(opened)
        for batch in table.iter_batches(_BATCH_ROWS, columns=["text"]):
            if "text" not in batch.schema.names:
                raise TextsError(f"{path!r} has no column 'text'; it has {', '.join(table.schema_arrow.names)}")
            yield from (text for text in batch.column("text").to_pylist() if text is not None)
    except pa.ArrowInvalid as error:
        raise TextsError(f"{path!r} is no Parquet file: {error}") from error


def _jsonl(opened: BinaryIO, path: str) -> Iterator[str]:
    for number, line in enumerate(_lines(opened, path), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, LookupError, TypeError) as error:
            raise TextsError(
                f"{path!r} line {number}: {line[:80]!r} is no JSON object with a 'text'; JSONL or Parquet was expected"
            ) from error
        if not isinstance(text, str):
            raise TextsError(f"{path!r} line {number}: 'text' is {str(text)[:80]!r}, not a string")
        yield text


def _lines(opened: BinaryIO, path: str) -> Iterator[bytes]:
    try:
        if path.endswith(".gz"):
            with gzip.open(opened) as unpacked:
                yield from unpacked
        elif path.endswith((".zst", ".zstd")):
            reader = zstandard.ZstdDecompressor().stream_reader(opened, read_across_frames=True)
            yield from io.BufferedReader(cast(io.RawIOBase, reader))
        else:
            yield from opened
    except (gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise TextsError(f"{path!r} can't be unpacked: {error}") from error
