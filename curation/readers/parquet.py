"""Parquet: a row is a page. Row groups are read in small batches, so memory does not grow with them."""

from collections.abc import Generator, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers.base import FormatError, Reader
from curation.readers.rows import TEXT, row_to_page
from schemas.records import Page
from storage.errors import StorageError

BATCH_ROWS = 64
BUFFER_BYTES = 1 << 20


class ParquetReader(Reader):
    """Pages of a range of rows. A page's offset is its row's number in the file."""

    def _read(self, handle: BinaryIO) -> Generator[Page]:
        path = self.task.source.path
        try:
            with pq.ParquetFile(handle, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
                names = parquet.schema_arrow.names
                if TEXT not in names:
                    raise FormatError(
                        f"{path}: no column `{TEXT}`, only {', '.join(names)}; rename the one that holds the text"
                    )
                yield from self._rows(parquet)
        except (FormatError, StorageError):
            raise
        except (pa.ArrowException, OSError) as error:  # Arrow tells of damaged pages by a bare OSError
            raise FormatError(f"{path}: not readable as Parquet: {error}") from error

    def _rows(self, parquet: pq.ParquetFile) -> Iterator[Page]:
        total = parquet.metadata.num_rows
        start, end = min(self.task.start, total), min(self.task.end, total)
        self.first, self.end = start, max(start, end)
        row = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if row + rows > start and row < end:
                yield from self._group(parquet, group, row, start, end)
            row += rows

    def _group(self, parquet: pq.ParquetFile, group: int, row: int, start: int, end: int) -> Iterator[Page]:
        """Rows of one group within [start, end); the group begins at `row`."""
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group]):
            low, high = max(start - row, 0), min(end - row, batch.num_rows)
            if low < high:
                for number, values in enumerate(batch.slice(low, high - low).to_pylist(), row + low):
                    yield row_to_page(values, number, self.task.source)
            row += batch.num_rows
            if row >= end:
                break
