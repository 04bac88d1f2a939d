"""Folders of segments in memory: documents by their lengths or masks, with the columns that plans read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from schemas.segments import ArrayEntry, SegmentEntry, SegmentsManifest
from trainer.segments.library import Library


class Folder:
    """What a plan needs of `Segments`.

    Args:
        segments: Documents of each, as numbers of tokens, or as masks of them.
        columns: More columns, a value a document, over all segments.
    """

    def __init__(
        self,
        segments: Sequence[Sequence[int]] | Sequence[Sequence[Sequence[int]]],
        columns: Mapping[str, Sequence[Any]] | None = None,
        *,
        name: str = "web",
        kind: str = "text",
    ) -> None:
        masked = any(not isinstance(document, int) for documents in segments for document in documents)
        self.arrays: list[dict[str, np.ndarray]] = []
        self.tables: list[pa.Table] = []
        entries = []
        at = 0
        for i, documents in enumerate(segments):
            masks = [np.ones(d, np.uint8) if isinstance(d, int) else np.array(d, np.uint8) for d in documents]
            starts = np.concatenate([[0], np.cumsum([len(mask) for mask in masks], dtype=np.int64)]).astype(np.int64)
            ids = [f"{name}-{i}-{j}" for j in range(len(masks))]
            targets = [int(mask[1:].sum()) for mask in masks]
            table = {
                "id": ids,
                "id_hash": pa.array([xxhash.xxh3_64_intdigest(text.encode()) for text in ids], pa.uint64()),
                "targets": pa.array(targets, pa.int32()),
            }
            more = {key: values[at : at + len(masks)] for key, values in (columns or {}).items()}
            at += len(masks)
            self.tables.append(pa.table({**table, **more}))
            self.arrays.append({"starts": starts, **({"mask": np.concatenate([[], *masks])} if masked else {})})
            arrays = [
                ArrayEntry(name=key, path=f"{i}.{key}", bytes=0, dtype="uint8") for key in ("tokens", *self.arrays[-1])
            ]
            entries.append(
                SegmentEntry(
                    name=f"{i:05}",
                    arrays=tuple(arrays),
                    blocks="",
                    blocks_sha256="",
                    documents=len(masks),
                    tokens=int(starts[-1]),
                    targets=sum(targets),
                    text_bytes=0,
                )
            )
        self.manifest = SegmentsManifest(
            key=f"key of {name}",
            kind=kind,
            data=f"data/{name}",
            data_sha256="",
            tokenizer_sha256="one",
            segments=tuple(entries),
        )

    def read(self, i: int, array: str, start: int, stop: int) -> np.ndarray:
        """Elements of an array."""
        return self.arrays[i][array][start:stop]

    def has_mask(self, i: int) -> bool:
        """Whether there is a mask."""
        return "mask" in self.arrays[i]

    def columns(self, i: int, names: Sequence[str]) -> pa.Table:
        """Columns by name, with the real reader's error."""
        from trainer.errors import TrainerError

        if unknown := set(names) - set(self.tables[i].column_names):
            raise TrainerError(f"no columns {sorted(unknown)}; there are {self.tables[i].column_names}")
        return self.tables[i].select(names)


def library(*folders: Folder) -> Library:
    """The real library, over these."""
    return Library(folders)  # type: ignore[arg-type]
