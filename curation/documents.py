"""Documents as Parquet, which a level hands to the next and shards are cut from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.records import Document
from storage.commit import Committed
from storage.hashed import HashedFile
from storage.paths import open_read

GROUP_BYTES = 16 << 20
"""Text bytes gathered before a row group is written: bounds what a sift holds."""


class TableWriter:
    """Rows into one Parquet file named by its hash, a row group at a time.

    Use as a context manager; `commit` closes the file and names it, leaving without it removes the file.
    """

    def __init__(self, folder: str, stem: str, schema: pa.Schema) -> None:
        self._file = HashedFile(folder, stem, ".parquet")
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", compression_level=3)
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self.rows = 0

    def add(self, row: dict[str, Any], size: int = 200) -> None:
        """Appends a row that weighs about `size` bytes."""
        self._rows.append(row)
        self._bytes += size
        self.rows += 1
        if self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0

    def commit(self) -> Committed:
        """Writes what is left; returns the file's name, hash and size."""
        self._flush()
        self._writer.close()
        return self._file.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # an open writer would write its footer when it is collected
            self._writer.close()
        self._file.__exit__(kind, error, at)  # which says plainly where there was no room


def to_row(doc: Document) -> dict[str, Any]:
    """A document as a row of `DOCS`."""
    return {
        "text": doc.text,
        "id": doc.id,
        "dump": doc.dump,
        "url": doc.url,
        "date": doc.date,
        "file_path": doc.path,
        "language": doc.language,
        "language_score": doc.language_score,
        "token_count": doc.token_count,
        "offset": doc.offset,
        "language_script": doc.language_script,
        "top_languages": json.dumps(doc.top_languages) if doc.top_languages else "[]",
        "quality_score": doc.quality_score,
        "cluster_size": doc.cluster_size,
        "metadata": _json(doc.metadata),
        "digest": doc.digest,
    }


def _json(metadata: Mapping[str, object]) -> str:
    """Strict JSON: NaN and infinities, which pandas leaves in many a column, become null."""
    try:
        return json.dumps(metadata, ensure_ascii=False, sort_keys=True, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(metadata), ensure_ascii=False, sort_keys=True, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def from_row(row: dict[str, Any]) -> Document:
    """The inverse of `to_row`."""
    return Document(
        text=row["text"],
        id=row["id"],
        url=row["url"],
        path=row["file_path"],
        offset=row["offset"],
        dump=row["dump"],
        date=row["date"],
        language=row["language"],
        language_score=row["language_score"],
        language_script=row["language_script"],
        top_languages=tuple((label, score) for label, score in json.loads(row["top_languages"])),
        token_count=row["token_count"],
        quality_score=row["quality_score"],
        cluster_size=row["cluster_size"],
        digest=row["digest"],
        metadata=json.loads(row["metadata"]),
    )


def read_tables(
    path: str,
    keep: NDArray[np.bool_] | None = None,
    sizes: NDArray[np.int32] | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """Row groups of a documents file.

    Args:
      path: a file of schema `DOCS`.
      keep: shape (rows,): which rows to give; None for all.
      sizes: shape (rows,): cluster sizes to lay over the file's; None leaves them.
      columns: which columns, None for all.
    """
    with open_read(path) as file, pq.ParquetFile(file) as parquet:
        at = 0
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=None if columns is None else list(columns))
            rows = slice(at, at + table.num_rows)
            at = rows.stop
            if sizes is not None and "cluster_size" in table.column_names:
                column = table.schema.get_field_index("cluster_size")
                table = table.set_column(column, table.schema.field(column), pa.array(sizes[rows], pa.int32()))
            yield table if keep is None else table.filter(pa.array(keep[rows]))


def read_documents(
    path: str, keep: NDArray[np.bool_] | None = None, sizes: NDArray[np.int32] | None = None
) -> Iterator[Document]:
    """The documents of a file one by one; arguments as `read_tables`."""
    for table in read_tables(path, keep, sizes):
        for batch in table.to_batches(max_chunksize=256):
            yield from map(from_row, batch.to_pylist())
