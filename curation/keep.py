"""Which of a task's documents the level before kept: its documents file, a slice of the keep bits, cluster sizes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.documents import read_tables
from storage.paths import open_read, read_range

CLUSTER_COLUMNS = ("number", "keeper", "size")
"""Of a dedup stage's cluster table: a member's document number, its keeper's, the cluster's size. Sorted by number."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Documents of one task after a level. Without `bits` all of them."""

    docs: str
    """The documents file."""
    rows: int
    base: int = 0
    """Number of its first document, counted over all tasks of the level."""
    bits: str = ""
    """One bit a document of the whole level, least significant first; 1 where it stays."""
    clusters: str = ""
    """Parquet with `CLUSTER_COLUMNS`."""

    def to_json(self) -> dict[str, Any]:
        """For a job's payload."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Kept":
        """The inverse of `to_json`."""
        return cls(**raw)

    def mask(self) -> NDArray[np.bool_] | None:
        """Which rows stay, shape (rows,); None where all do."""
        if not self.bits:
            return None
        first, last = self.base // 8, (self.base + self.rows + 7) // 8
        packed = np.frombuffer(read_range(self.bits, first, last - first), np.uint8)
        at = self.base - first * 8
        return np.unpackbits(packed, bitorder="little")[at : at + self.rows].astype(np.bool_)

    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Rows in clusters: (row in this file, number of the keeper, cluster size), ordered by row."""
        if not self.clusters:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32)
        numbers, keepers, sizes = [], [], []
        with open_read(self.clusters) as file, pq.ParquetFile(file) as parquet:
            for group in range(parquet.num_row_groups):
                bounds = parquet.metadata.row_group(group).column(0).statistics
                if bounds is not None and (bounds.max < self.base or bounds.min >= self.base + self.rows):
                    continue
                table = parquet.read_row_group(group)
                inside = pc.and_(
                    pc.greater_equal(table["number"], self.base), pc.less(table["number"], self.base + self.rows)
                )
                table = table.filter(inside)
                numbers.append(table["number"].to_numpy() - self.base)
                keepers.append(table["keeper"].to_numpy())
                sizes.append(table["size"].to_numpy())
        if not numbers:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32)
        return np.concatenate(numbers), np.concatenate(keepers), np.concatenate(sizes)

    def mask_and_sizes(self) -> tuple[NDArray[np.bool_] | None, NDArray[np.int32] | None]:
        """`mask()`, and every row's cluster size, shape (rows,); None where the level had no dedup."""
        if not self.bits:
            return None, None
        sizes = np.ones(self.rows, np.int32)
        rows, _, members = self.members()
        sizes[rows] = members
        return self.mask(), sizes

    def offsets(self) -> NDArray[np.int64]:
        """Offsets of the documents that stay, in order."""
        parts = [t["offset"].to_numpy() for t in read_tables(self.docs, self.mask(), columns=["offset"])]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)
