"""Seals one segment: its arrays, the hashes of their blocks, and its columns. The format is `schemas.segments`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from schemas.segments import ArrayEntry, SegmentEntry
from storage.commit import write_hashed
from trainer.segments.blocks import block_hashes

_ROWS_PER_GROUP = 2**20
"""Of columns: those of a segment are read whole, each in one piece."""
_SUFFIXES = {"columns": ".columns.parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What a segment is made of."""

    tokens: NDArray[Any]
    """uint16 or uint32 ids, document after document."""
    starts: NDArray[np.int64]
    """[documents + 1]: document i is tokens[starts[i] : starts[i + 1]]."""
    columns: pa.Table
    """A row a document: `id`, `bytes` (UTF-8 of its text), and whatever conditions may ask for."""
    mask: NDArray[np.uint8] | None = None
    """[tokens]: 1 where a token may be a target; None where all may."""

    @property
    def targets(self) -> NDArray[np.int32]:
        """[documents] Tokens that may be targets: masked in, and not first of their document."""
        lengths = np.diff(self.starts)
        if self.mask is None:
            return np.asarray(np.maximum(lengths - 1, 0), np.int32)
        counted = np.concatenate(([0], np.cumsum(self.mask, dtype=np.int64)))
        firsts = np.minimum(self.starts[:-1] + 1, self.starts[1:])
        return np.asarray(counted[self.starts[1:]] - counted[firsts], np.int32)


def seal(folder: str, name: str, documents: Documents) -> SegmentEntry:
    """Writes a segment's files, named by what they hold; the segment counts where a manifest names it.

    Args:
        folder: The folder of segments, local or on an object store.
        name: What the files' names begin with.
        documents: All of the segment; `id_hash` and `targets` are added to the columns.

    Raises:
        ValueError: Starts, tokens, mask and columns do not fit each other.
        StorageError: No room, or the store refuses.
    """
    _check(documents)
    targets = documents.targets
    columns = documents.columns.append_column("id_hash", _id_hashes(documents.columns["id"]))
    columns = columns.append_column("targets", pa.array(targets))
    arrays, hashes = [], []
    parts = {
        "tokens": documents.tokens,
        "starts": documents.starts,
        "mask": documents.mask,
        "columns": _parquet(columns),
    }
    for kind, array in parts.items():
        if array is not None:
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).view(np.uint8).data
            made = write_hashed(folder, name, _SUFFIXES.get(kind, f".{kind}"), _writer(data))
            entry = {"name": kind, "path": made.name, "bytes": made.bytes, "dtype": array.dtype.name}
            arrays.append(ArrayEntry.model_validate(entry))
            hashes.append(block_hashes(data))
    blocks = write_hashed(folder, name, ".blocks", _writer(memoryview(b"".join(hashes))))
    return SegmentEntry(
        name=name,
        arrays=tuple(arrays),
        blocks=blocks.name,
        blocks_sha256=blocks.sha256,
        documents=len(targets),
        tokens=len(documents.tokens),
        targets=int(targets.sum(dtype=np.int64)),
        text_bytes=pc.sum(columns["bytes"]).as_py() or 0,
    )


def _check(documents: Documents) -> None:
    starts, tokens, mask = documents.starts, documents.tokens, documents.mask
    if tokens.dtype not in (np.uint16, np.uint32):
        raise ValueError(f"tokens are uint16 or uint32, not {tokens.dtype}")
    if starts[0] != 0 or starts[-1] != len(tokens) or (np.diff(starts) < 0).any():
        raise ValueError(f"starts rise from 0 to the {len(tokens):,} tokens, not from {starts[0]:,} to {starts[-1]:,}")
    if documents.columns.num_rows != len(starts) - 1:
        raise ValueError(f"{documents.columns.num_rows:,} rows of columns for {len(starts) - 1:,} documents")
    if mask is not None and (mask.dtype != np.uint8 or len(mask) != len(tokens)):
        raise ValueError(f"a mask of {len(mask):,} {mask.dtype} for {len(tokens):,} tokens; give as many uint8")


def _id_hashes(ids: pa.ChunkedArray) -> pa.Array:
    """uint64: xxh3_64 of each id's UTF-8 bytes, seed 0."""
    return pa.array([xxhash.xxh3_64_intdigest(text.encode()) for text in ids.to_pylist()], pa.uint64())


def _parquet(table: pa.Table) -> NDArray[np.uint8]:
    """The bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=_ROWS_PER_GROUP, compression="zstd", compression_level=3)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _writer(data: memoryview) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return write
