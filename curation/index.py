"""Common Crawl's columnar index as input: which records of which files a condition selects.

The index is Parquet, a row a capture, with the file, offset and length of its record (the table `cc-index`, described
at https://commoncrawl.org/columnar-index). Only the columns that the condition names are read, a batch at a time; what
it selects is sorted by DuckDB in a database file beside bounded memory, so 100 million rows are no more trouble than
their time. The condition is a user's words: DuckDB runs it without access to files, network or extensions.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers import FormatError, NoTextError
from curation.readers.rows import TEXT
from schemas.tasks import Source
from storage.paths import open_read

PLACE = ("warc_filename", "warc_record_offset", "warc_record_length")
_BATCH_ROWS = 65_536
_FETCH_ROWS = 20_000
_MEMORY = "1GB"
_WORD = re.compile(r"\w+")
_LOCKED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": _MEMORY,
}

Connection = Any
Pick = tuple[str, int, int]
"""File name, offset, length."""


def is_index(source: Source) -> bool:
    """Whether a Parquet file holds places of records rather than text.

    Raises:
      NoTextError: it holds neither.
      FormatError: it is not Parquet.
    """
    names = _schema(source).names
    if TEXT in names:
        return False
    if not all(name in names for name in PLACE):
        raise NoTextError(source.path, names)
    return True


def check_where(indexes: Sequence[Source], where: str) -> None:
    """Binds a condition against each index, before anything runs.

    Raises:
      ValueError: DuckDB's words on what is wrong with it, in one line.
    """
    if not where.strip():
        return
    with tempfile.TemporaryDirectory() as folder, _connection(folder) as connection:
        for schema in {source.name: _schema(source) for source in indexes}.values():
            _selected(connection, schema.empty_table(), where)


def picks(indexes: Sequence[Source], where: str) -> Iterator[Pick]:
    """The records that a condition selects, each once, sorted by file and offset; see `selection` for memory.

    Raises:
      ValueError: the condition is wrong.
      FormatError: an index is not readable as Parquet.
    """
    with selection(indexes, where) as (_, rows):
        yield from rows()


@contextmanager
def selection(indexes: Sequence[Source], where: str) -> Iterator[tuple[int, Callable[[], Iterator[Pick]]]]:
    """Gathers what a condition selects into a temporary database.

    Yields:
      The bytes of all records selected, and a function that gives them sorted by file and offset, each once.
    """
    with tempfile.TemporaryDirectory() as folder, _connection(folder) as connection:
        connection.execute("CREATE TABLE picked(name VARCHAR, start BIGINT, size BIGINT)")
        for source in indexes:
            for table in _batches(source, where):
                _selected(connection, table, where).insert_into("picked")
        connection.execute("CREATE TABLE places AS SELECT name, start, max(size) AS size FROM picked GROUP BY ALL")
        connection.execute("DROP TABLE picked")
        total = connection.execute("SELECT coalesce(sum(size), 0) FROM places").fetchone()[0]

        def rows() -> Iterator[Pick]:
            connection.execute("SELECT name, start, size FROM places ORDER BY name, start")
            while some := connection.fetchmany(_FETCH_ROWS):
                yield from some

        yield int(total), rows


@contextmanager
def _connection(folder: str) -> Iterator[Connection]:
    """A database in `folder` that can reach nothing else, and no settings can change that."""
    spill = Path(folder, "spill")
    config = {**_LOCKED, "temp_directory": str(spill)}
    with duckdb.connect(str(Path(folder, "picks.db")), config=config) as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _selected(connection: Connection, table: pa.Table, where: str) -> Any:
    """The places of the rows that the condition selects; rows without a place are none."""
    name, start, size = PLACE
    try:
        rows = connection.from_arrow(table)
        rows = rows.filter(where) if where.strip() else rows
        places = rows.select(*(duckdb.ColumnExpression(c) for c in PLACE))
        return places.filter(f"{name} IS NOT NULL AND {start} >= 0 AND {size} > 0")
    except duckdb.Error as error:
        words = " ".join(str(error).split())
        raise ValueError(f"the condition {where!r} (--where) is not one for this index: {words}") from error


def _batches(source: Source, where: str) -> Iterator[pa.Table]:
    """The columns that matter, some rows at a time."""
    try:
        with open_read(source.path) as handle, pq.ParquetFile(handle, pre_buffer=False) as parquet:
            columns = _columns(parquet.schema_arrow.names, where)
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise FormatError(f"{source.path}: not readable as Parquet: {error}") from error


def _columns(names: Sequence[str], where: str) -> list[str]:
    """Those that a condition may mean; all where it asks for columns by pattern."""
    words = {word.lower() for word in _WORD.findall(where)}
    if "columns" in words:
        return list(names)
    return [name for name in names if name in PLACE or words & set(map(str.lower, _WORD.findall(name)))]


def _schema(source: Source) -> pa.Schema:
    try:
        with open_read(source.path) as handle:
            return pq.read_schema(handle)
    except pa.ArrowException as error:
        raise FormatError(f"{source.path}: not readable as Parquet: {error}") from error
