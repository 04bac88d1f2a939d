"""Parquet: a row is a page. Row groups are read in small batches, so memory does not grow with them."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers.base import FormatError, NoTextError, Reader
from curation.readers.rows import MAX_DEPTH, TEXT, row_to_page
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
                    raise NoTextError(path, names)
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
                for number, values in enumerate(_rows_of(batch.slice(low, high - low)), row + low):
                    yield row_to_page(values, number, self.task.source)
            row += batch.num_rows
            if row >= end:
                break


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(name: str, column: pa.Array) -> list[Any]:
    """A column's values as Python's; None where one can't be said, so that it costs no page."""
    try:
        if name == TEXT and _is_words(column.type):  # a page's words are judged as bytes
            column = column.cast(pa.large_binary())
        for leaf in (_in_utc, _in_words):
            kind = _leaves(column.type, leaf)
            column = column if kind.equals(column.type) else column.cast(kind)
        return list(column.to_pylist())
    except pa.ArrowException:
        return [None] * len(column)
    except ValueError:  # words that are no UTF-8, two fields of a name
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except ValueError:
        words = isinstance(scalar, pa.StringScalar | pa.LargeStringScalar)
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace") if words else None


def _is_words(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _in_utc(kind: pa.DataType) -> pa.DataType:
    """Times with a zone in UTC, which needs no table of zones when written as an offset."""
    return pa.timestamp(kind.unit, "+00:00") if pa.types.is_timestamp(kind) and kind.tz is not None else kind


def _in_words(kind: pa.DataType) -> pa.DataType:
    """Dates and times as words, durations as numbers.

    Python's own reach from year 1 to 9999 and know this machine's zones alone; Arrow says all, everywhere alike.
    """
    if pa.types.is_duration(kind):
        return pa.int64()
    return pa.string() if pa.types.is_temporal(kind) and not pa.types.is_interval(kind) else kind


def _leaves(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType], levels: int = MAX_DEPTH) -> pa.DataType:
    """The type with `leaf` applied to what is no list, struct or map; null below `MAX_DEPTH` levels."""

    def inside(field: pa.Field) -> pa.Field:
        return field.with_type(_leaves(field.type, leaf, levels - 1))

    types = pa.types
    if not levels:
        return pa.null()
    if types.is_dictionary(kind):
        value = _leaves(kind.value_type, leaf, levels)
        return kind if value.equals(kind.value_type) else value
    if types.is_struct(kind):
        return pa.struct([inside(field) for field in kind])
    if types.is_map(kind):
        return pa.map_(inside(kind.key_field), inside(kind.item_field))
    if types.is_list(kind):
        return pa.list_(inside(kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(inside(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pa.list_(inside(kind.value_field), kind.list_size)
    return leaf(kind)
