"""The ledger: what each level said of a page, laid over one another in the end; one row a page, always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curation.documents import read_tables
from curation.judged import Judged
from curation.keep import Kept
from schemas.records import Document, Page
from schemas.tables import LEDGER
from storage.paths import open_read

DOC_COLUMNS = ("id", "url", "file_path", "offset")


@dataclass(frozen=True, slots=True)
class LedgerLevel:
    """One task at one level: the ledger its sift wrote, its documents, and the dedup stage that ended the level."""

    ledger: str
    kept: Kept
    dedup: str = ""
    reason: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "LedgerLevel":
        """From a job's payload."""
        return cls(raw["ledger"], Kept.from_json(raw["kept"]), raw["dedup"], raw["reason"])

    def to_json(self) -> dict[str, Any]:
        """For a job's payload."""
        return {"ledger": self.ledger, "kept": self.kept.to_json(), "dedup": self.dedup, "reason": self.reason}


def ledger_row(item: Page | Document, judged: Judged) -> dict[str, Any]:
    """A dropped page's row of `LEDGER`."""
    return {
        "id": item.id,
        "url": item.url,
        "path": item.path,
        "offset": item.offset,
        "outcome": "dropped",
        "stage": judged.stage,
        "reason": judged.reason,
        "value": judged.value,
        "threshold": judged.threshold,
        "gate": judged.gate or None,
        "url_hash": url_hash(item.url),
    }


def url_hash(url: str) -> int:
    """The ledger's `url_hash`: xxh3_64 of the URL's UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(url.encode("utf-8", "surrogatepass"))


class LedgerError(Exception):
    """Pages and ledger rows differ: a defect of ours, never of the input."""


def final_rows(levels: Sequence[LedgerLevel], pages: int, where: str) -> pa.Table:
    """One task's ledger, ordered by offset.

    Args:
      levels: all levels of the task, in order.
      pages: what the reader counted.
      where: the task in words.

    Raises:
      LedgerError: rows and pages differ, or two rows are of one page.
    """
    parts = []
    for level in levels:
        with open_read(level.ledger) as file:
            parts.append(pq.read_table(file, schema=LEDGER))
        if level.dedup:
            parts.append(_duplicates(level))
    parts.append(_kept(levels[-1].kept))
    table = pa.concat_tables(parts).unify_dictionaries()
    order = np.argsort(table["offset"].to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    offsets = table["offset"].to_numpy()
    if table.num_rows != pages or (np.diff(offsets) == 0).any():
        raise LedgerError(
            f"{where}: {pages} pages were read and {table.num_rows} ledger rows written, "
            f"{len(np.unique(offsets))} of them distinct; please report this with the input"
        )
    return table.combine_chunks()


def _duplicates(level: LedgerLevel) -> pa.Table:
    """Rows of the documents that a level's dedup stage dropped; value: the cluster's size."""
    mask, sizes = level.kept.mask_and_sizes()
    assert mask is not None, "a level with a dedup stage has keep bits"
    assert sizes is not None, "and sizes beside them"
    return _rows(level.kept, ~mask, sizes[~mask].astype(np.float64), ("dropped", level.dedup, level.reason, 1.0))


def _kept(kept: Kept) -> pa.Table:
    return _rows(kept, kept.mask(), None, ("kept", None, None, None))


def _rows(kept: Kept, mask: Any, values: Any, fixed: tuple[str, str | None, str | None, float | None]) -> pa.Table:
    outcome, stage, reason, threshold = fixed
    tables = list(read_tables(kept.docs, mask, columns=DOC_COLUMNS))
    docs = pa.concat_tables(tables) if tables else pa.table({name: [] for name in DOC_COLUMNS})
    n = docs.num_rows
    columns = {
        "id": docs["id"],
        "url": docs["url"],
        "path": docs["file_path"],
        "offset": docs["offset"],
        "outcome": [outcome] * n,
        "stage": [stage] * n,
        "reason": [reason] * n,
        "value": [None] * n if values is None else values,
        "threshold": [threshold] * n,
        "gate": [None] * n,
        "url_hash": [url_hash(url) for url in docs["url"].to_pylist()],
    }
    return pa.table(
        [
            pa.array(column, field.type) if isinstance(column, list) else _cast(column, field.type)
            for field, column in zip(LEDGER, columns.values(), strict=True)
        ],
        schema=LEDGER,
    )


def _cast(column: Any, kind: pa.DataType) -> Any:
    return pa.array(column, kind) if isinstance(column, np.ndarray) else column.cast(kind)
