"""Writes curated folders as runs leave them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.manifest import Counts, FileEntry, Manifest
from schemas.tables import SHARD


def document(number: int, text: str, **columns: Any) -> dict[str, Any]:
    """A row of a shard."""
    empty = {"dump": "d", "url": "", "date": "", "file_path": "f", "language": "en", "language_score": 1.0}
    rest = {"token_count": len(text), "offset": number, "language_script": "Latn", "top_languages": "[]"}
    last = {"quality_score": None, "cluster_size": 1, "metadata": '{"a": 1}'}
    return {"text": text, "id": f"<urn:{number}>", **empty, **rest, **last, **columns}


def write(folder: Path, shards: Sequence[Sequence[dict[str, Any]]], *, rows_per_group: int = 7) -> Path:
    """A finished run's folder with these shards."""
    tables = [pa.Table.from_pylist(list(rows), schema=SHARD) for rows in shards]
    return write_tables(folder, tables, rows_per_group=rows_per_group)


def write_tables(folder: Path, tables: Sequence[pa.Table], *, rows_per_group: int = 7) -> Path:
    """The same, of shards with any columns."""
    (folder / "shards").mkdir(parents=True)
    entries = []
    for i, table in enumerate(tables):
        path = folder / "shards" / f"part-{i:05d}-of-{len(tables):05d}.parquet"
        pq.write_table(table, path, row_group_size=rows_per_group)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        entries.append(FileEntry(path=f"shards/{path.name}", sha256=sha256, bytes=len(data), rows=len(table)))
    (folder / "manifest.json").write_text(manifest(tuple(entries)).model_dump_json())
    return folder


def manifest(files: tuple[FileEntry, ...]) -> Manifest:
    """Of a run that read nothing else."""
    pages = sum(file.rows for file in files)
    return Manifest(
        gristmill="0.1.0",
        pipeline="p",
        description="",
        language="",
        recipe_sha256="",
        stages=(),
        publish={},
        sample={},
        seed=0,
        files_used={},
        libraries={},
        inputs_root="",
        inputs=(),
        counts=Counts(pages=pages, kept=pages, dropped=0, dropped_by={}, tokens=0, characters=0),
        files=files,
    )
