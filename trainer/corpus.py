"""A curated folder as the trainer sees it: `manifest.json`, and the shards that it names, each verified before use."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import ValidationError

from schemas.manifest import FileEntry, Manifest
from storage import stores
from storage.errors import MissingError
from storage.paths import is_local, join, open_read
from trainer.columns import checked, chosen
from trainer.errors import IntegrityError, TrainerError
from trainer.held import held

MANIFEST = "manifest.json"
SHARDS = "shards/"
ROWS_PER_TEXT = 20
"""Rows of a corpus that may be read for each row of a sample."""


class Corpus:
    """The shards of a finished curation run, local or behind `http(s)://` or `s3://`.

    Args:
        folder: What `gristmill run --output` was given.

    Raises:
        TrainerError: It is no folder, there is no manifest, it can't be read, or it names no shard.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        self.shards: tuple[FileEntry, ...] = tuple(f for f in self.manifest.files if f.path.startswith(SHARDS))
        """In the manifest's order."""
        if not self.shards:
            raise TrainerError(f"{join(folder, MANIFEST)!r} names nothing below {SHARDS!r}: there are no documents")

    def rows(
        self, shard: FileEntry, *, words: Collection[str] | None = None, start: int = 0, batch_rows: int = 256
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a shard from `start` on, a batch at a time; none before the whole file was found sound.

        Words come as strings, whatever Arrow type of strings they were stored as.

        Args:
            shard: One of `shards`.
            words: Columns of words to be read beside `id` and `text`, as far as there are such; None: all that hold
                plain values and whose names are their own, but for `metadata`.
            start: Rows to skip.
            batch_rows: At most this many a batch.

        Raises:
            IntegrityError: The file is missing, or is not the one that the manifest names.
            TrainerError: A column of words is missing, stands twice, or holds what is none.
            StorageError: It can't be read.
        """
        with self._verified(shard) as file:
            try:
                opened = pq.ParquetFile(file)
            except pa.ArrowInvalid as error:
                raise self._broken(shard, f"it is no Parquet file ({error})") from error
            yield from _batches(opened, words, start, batch_rows, join(self.folder, shard.path))

    @contextmanager
    def _verified(self, shard: FileEntry) -> Iterator[BinaryIO]:
        """The file, read once over the network and into a temporary file there, checked, at its first byte."""
        path = join(self.folder, shard.path)
        try:
            with open_read(path) as file:
                if is_local(path):
                    self._check(shard, hashlib.file_digest(cast(Any, file), "sha256").hexdigest(), file.tell())
                    file.seek(0)
                    yield file
                    return
                with held(file) as (copy, sha256, size):
                    self._check(shard, sha256, size)
                    yield copy
        except MissingError as error:
            raise self._broken(shard, "there is no such file") from error

    def _check(self, shard: FileEntry, sha256: str, size: int) -> None:
        if sha256 != shard.sha256:
            raise self._broken(
                shard, f"expected sha256 {shard.sha256} of {shard.bytes:,} bytes, found {sha256} of {size:,}"
            )

    def _broken(self, shard: FileEntry, what: str) -> IntegrityError:
        return IntegrityError(
            f"{join(self.folder, shard.path)!r} is not the file that {join(self.folder, MANIFEST)!r} names: {what}; "
            "copy the file again from where the run wrote it, or run the curation again"
        )


def sample_rows(folder: str, wanted: int, seed: int) -> Iterator[tuple[str, str]]:
    """About `wanted` rows (language, text) of a curated folder, chosen by hash of the seed and the document's id.

    They come from as many shards, in a seeded order, as hold ROWS_PER_TEXT times as many rows. The language is empty
    where the folder says none.

    Raises:
      TrainerError: There is no such folder, or a shard's ids, texts or languages are missing or are no words.
      IntegrityError: A shard is missing, or is not the one that the manifest names.
    """
    corpus, shards, rows = Corpus(folder), [], 0
    for shard in sorted(corpus.shards, key=lambda shard: _place(shard.path, seed)):
        shards.append(shard)
        rows += shard.rows
        if rows >= wanted * ROWS_PER_TEXT:
            break
    below = min(1.0, wanted / max(rows, 1)) * 2**64
    for shard in shards:
        for batch in corpus.rows(shard, words=("language",)):
            for row in batch.to_pylist():
                if row["text"] and _place(row["id"], seed) < below:
                    yield row.get("language") or "", row["text"]


def _place(name: str, seed: int) -> int:
    """A hash of 64 bits that has nothing to do with those that shares of sources and held-out documents go by."""
    return xxhash.xxh3_64_intdigest(f"sample {seed} {name}".encode())


def _manifest(folder: str) -> Manifest:
    path = join(folder, MANIFEST)
    if is_local(folder) and stores.local(folder).is_file():
        raise TrainerError(
            f"{folder!r} is a file, the folder that a finished `gristmill run --output` wrote was expected; JSONL of "
            "conversations or preferences is read as kind chat or preference (`gristmill tokenize --kind chat`, or a "
            "recipe's source that has `kind: chat`)"
        )
    try:
        with open_read(path) as file:
            data = file.read()
    except MissingError as error:
        raise TrainerError(
            f"no {MANIFEST} in {folder!r}; give the folder that a finished `gristmill run --output` wrote"
        ) from error
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise TrainerError(
            f"{path!r} is no manifest that this version reads: {where}: {first['msg']}; "
            "give a folder that `gristmill run` of this version wrote"
        ) from error


def _batches(
    file: Any, words: Collection[str] | None, start: int, batch_rows: int, where: str
) -> Iterator[pa.RecordBatch]:
    """From row `start` on; row groups before it are not decoded."""
    columns = chosen(file.schema_arrow, words, where)
    groups, row = list(range(file.num_row_groups)), 0
    while groups and start >= row + (rows := file.metadata.row_group(groups[0]).num_rows):
        row += rows
        groups.pop(0)
    for batch in file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=columns) if groups else ():
        skip = max(0, start - row)
        if skip < batch.num_rows:
            yield checked(batch.slice(skip), columns, row + skip, where)
        row += batch.num_rows
