"""Writes folders of segments by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.segments import SegmentsManifest
from trainer import checksum
from trainer.segments.read import MANIFEST
from trainer.segments.seal import Documents, seal

Kind = Literal["text", "chat", "preference"]


def write(
    folder: Path,
    segments: Sequence[Sequence[NDArray[Any]]],
    *,
    masks: Sequence[Sequence[NDArray[np.uint8]]] | None = None,
    dtype: Any = np.uint16,
    tokenizer: str = "t",
    kind: Kind = "text",
) -> Path:
    """A finished folder whose segments hold these documents."""
    entries = []
    for i, documents in enumerate(segments):
        columns = pa.table(
            {
                "id": pa.array([f"{folder.name}-{i}-{n}" for n in range(len(documents))], pa.string()),
                "bytes": pa.array([len(tokens) for tokens in documents], pa.int64()),
            }
        )
        made = Documents(
            tokens=np.concatenate([np.asarray(tokens, dtype) for tokens in documents]),
            starts=np.concatenate(([0], np.cumsum([len(tokens) for tokens in documents]))).astype(np.int64),
            columns=columns,
            mask=None if masks is None else np.concatenate(masks[i]).astype(np.uint8),
        )
        entries.append(seal(str(folder), f"{i:05d}", made))
    manifest = SegmentsManifest(
        key=folder.name, kind=kind, data="", data_sha256="", tokenizer_sha256=tokenizer, segments=tuple(entries)
    )
    (folder / MANIFEST).write_bytes(checksum.append(manifest.model_dump_json().encode()))
    return folder
