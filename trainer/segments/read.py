"""Reads segments by their manifest: nothing is given out before the block that holds it was checked."""

import hashlib
import io
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.segments import ArrayEntry, SegmentEntry, SegmentsManifest
from storage import stores
from storage.errors import MissingError
from storage.http import is_http
from storage.paths import expand, info, is_local, join, open_read
from trainer import checksum
from trainer.errors import IntegrityError, TrainerError
from trainer.segments.arrays import Array, ArrayFile, LocalArray, RemoteArray
from trainer.segments.blocks import HASH_BYTES, Checked, Ints, count_blocks
from trainer.segments.cache import BlockCache

MANIFEST = "segments.json"
FORMAT_VERSION = 3
_OPEN_ARRAYS = 1024
"""Kept open at once; a process may map some 65,000 files, and a corpus has more."""
_AGAIN = "restore it from a copy, or remove it and tokenize again"


class Segments:
    """One folder of segments, local or behind `http(s)://` or `s3://`. Threads may share it; it pickles by its path.

    Args:
        folder: Where the manifest is.
        manifest: What the segments' files are.
        cache: For remote blocks; one of its own where none is given.
    """

    def __init__(self, folder: str, manifest: SegmentsManifest, cache: BlockCache | None = None) -> None:
        self.folder, self.manifest = folder, manifest
        self.files = beside(folder, manifest.encoding) if manifest.encoding else folder
        """Where the sealed files are."""
        self.cache = cache or BlockCache()
        self._arrays: dict[tuple[int, str], Array] = {}
        self._opening: dict[tuple[int, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Segments, (self.folder, self.manifest, self.cache)

    @classmethod
    def open(cls, folder: str, cache: BlockCache | None = None) -> "Segments":
        """Reads the manifest, and compares every file's size with it where the store can list them.

        Raises:
            TrainerError: There is no manifest, or none that this version reads.
            IntegrityError: The manifest is damaged; or a file is missing, too short or too long.
        """
        opened = cls(folder, read_manifest(folder), cache)
        opened.check_sizes()
        return opened

    def check_sizes(self) -> None:
        """Compares every file's size with the manifest's, where the store can list them.

        Raises:
            IntegrityError: A file is missing, too short or too long.
        """
        if not is_http(self.files):  # lists nothing: there each array is checked when it is first read
            check_files(self.files, sizes(self.files), self.manifest.segments)

    def read(self, i: int, array: str, start: int, stop: int) -> NDArray[Any]:
        """Elements [start, stop) of an array of segment `i`: `tokens`, `starts` or `mask`. A read-only view or a copy.

        Raises:
            IntegrityError: The file is missing, of another size, or a block of it is damaged.
            StorageError: It can't be read.
            IndexError: The array has no such elements.
        """
        flat, at = self.gather(i, array, np.array([start]), np.array([stop]))
        return flat[at[0] : at[0] + stop - start]

    def gather(self, i: int, array: str, starts: Ints, stops: Ints) -> tuple[NDArray[Any], Ints]:
        """Several ranges at once, as `read`: a flat array, and where in it each range begins."""
        found = self._arrays.get((i, array)) or self._array(i, array)
        if len(starts) and not (starts.min() >= 0 and stops.max() <= found.size):
            raise IndexError(f"{found.path!r} has no elements {starts.min():,} to {stops.max():,} of {found.size:,}")
        return found.gather(starts, stops)

    def starts(self, i: int) -> NDArray[np.int64]:
        """[documents + 1] Where the documents of segment `i` begin."""
        return self.read(i, "starts", 0, self.manifest.segments[i].documents + 1)

    def has_mask(self, i: int) -> bool:
        """Whether some tokens of segment `i` may be no targets."""
        for entry in self.manifest.segments[i].arrays:  # noqa: SIM110 (a step asks of every segment: twice as fast)
            if entry.name == "mask":
                return True
        return False

    def columns(self, i: int, names: Sequence[str] | None = None) -> pa.Table:
        """A row a document of segment `i`; all columns without `names`.

        Raises:
            IntegrityError: The file is missing or damaged.
            TrainerError: There is no such column.
        """
        array = self._arrays.get((i, "columns")) or self._array(i, "columns")
        table = pq.ParquetFile(ArrayFile(array), pre_buffer=True)  # neighbouring columns at once
        if unknown := set(names or ()) - set(table.schema_arrow.names):
            raise TrainerError(
                f"{array.path!r} has no columns {sorted(unknown)}; there are {sorted(table.schema_arrow.names)}"
            )
        return table.read(columns=None if names is None else list(names))

    def _entry(self, i: int, array: str) -> ArrayEntry:
        for entry in self.manifest.segments[i].arrays:
            if entry.name == array:
                return entry
        raise TrainerError(f"segment {self.manifest.segments[i].name!r} of {self.folder!r} has no array {array!r}")

    def _array(self, i: int, name: str) -> Array:
        entry, key = self._entry(i, name), (i, name)
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:  # whoever comes second finds it open
            if (array := self._arrays.get(key)) is None:
                array = self._opened(i, entry)
                with self._lock:
                    self._opening.pop(key, None)
                    while len(self._arrays) >= _OPEN_ARRAYS:
                        del self._arrays[next(iter(self._arrays))]  # the one open for longest
                    self._arrays[key] = array
        return array

    def _opened(self, i: int, entry: ArrayEntry) -> Array:
        path, dtype = join(self.files, entry.path), np.dtype(entry.dtype).newbyteorder("<")
        try:
            _check_size(path, info(path).size, entry.bytes)
        except MissingError as error:
            raise IntegrityError(
                f"{path!r}, which {MANIFEST} names, is missing; restore it from a copy, or tokenize again"
            ) from error
        checked = Checked(path, entry.bytes, self._hashes(i, entry))
        return LocalArray(checked, dtype) if is_local(path) else RemoteArray(checked, dtype, self.cache)

    def _hashes(self, i: int, entry: ArrayEntry) -> bytes:
        """The hashes of one array's blocks."""
        segment = self.manifest.segments[i]
        path = join(self.files, segment.blocks)
        try:
            with open_read(path) as file:
                data = file.read()
        except MissingError as error:
            raise IntegrityError(
                f"{path!r}, which {MANIFEST} names, is missing; restore it from a copy, or tokenize again"
            ) from error
        _check_sha256(path, cast(BinaryIO, io.BytesIO(data)), segment.blocks_sha256)
        before = segment.arrays[: segment.arrays.index(entry)]
        start = HASH_BYTES * sum(count_blocks(other.bytes) for other in before)
        return data[start : start + HASH_BYTES * count_blocks(entry.bytes)]


def read_manifest(folder: str) -> SegmentsManifest:
    """What a finished folder of segments holds.

    Raises:
        TrainerError: There is no manifest, or none that this version reads.
        IntegrityError: It is altered or cut.
    """
    path = join(folder, MANIFEST)
    try:
        manifest = SegmentsManifest.model_validate_json(checksum.read(path))
    except MissingError as error:
        raise TrainerError(
            f"no {MANIFEST} in {folder!r}: its tokenizing has not finished; run `gristmill tokenize` again"
        ) from error
    except ValidationError as error:
        told = error.errors()[0]["msg"]
        raise TrainerError(f"{path!r} is no manifest of segments: {told}; remove it and tokenize again") from error
    if manifest.format_version != FORMAT_VERSION:
        raise TrainerError(
            f"{path!r} has format {manifest.format_version}, this version reads {FORMAT_VERSION}; tokenize again"
        )
    return manifest


def beside(folder: str, name: str) -> str:
    """The folder of that name in which `folder` lies too."""
    above, slash, _ = folder.rstrip("/").rpartition("/")
    return join(above + slash or ".", name)


def sizes(folder: str) -> dict[str, int]:
    """File name -> bytes, by one listing; nothing of a folder that is gone."""
    try:
        if is_local(folder):
            with stores.told("list", folder), os.scandir(stores.local(folder)) as found:
                return {file.name: file.stat().st_size for file in found if file.is_file()}
        return {file.path.rpartition("/")[2]: file.size for file in expand(join(folder, "*"))}
    except MissingError:
        return {}


def check_files(folder: str, found: Mapping[str, int], segments: Iterable[SegmentEntry]) -> None:
    """Compares what a folder of sealed files holds with what it should.

    Args:
        folder: Of sealed files.
        found: Their `sizes`.
        segments: Whose files are asked for.

    Raises:
        IntegrityError: A file is missing, too short or too long.
    """
    for segment in segments:
        blocks = HASH_BYTES * sum(count_blocks(array.bytes) for array in segment.arrays)
        wanted = {array.path: array.bytes for array in segment.arrays} | {segment.blocks: blocks}
        for name, size in wanted.items():
            path = join(folder, name)
            if name not in found:
                raise IntegrityError(
                    f"{path!r}, which {MANIFEST} names, is missing; restore it from a copy, or tokenize again"
                )
            _check_size(path, found[name], size)


def _check_size(path: str, found: int, expected: int) -> None:
    if found != expected:
        raise IntegrityError(f"{path!r} has {found:,} bytes, its manifest says {expected:,}; {_AGAIN}")


def _check_sha256(path: str, file: BinaryIO, expected: str) -> None:
    """Reads a file from where it stands to its end, and goes back to its start."""
    found = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    if found != expected:
        raise IntegrityError(f"{path!r} is damaged: sha256 {found}, expected {expected}; {_AGAIN}")
    file.seek(0)
