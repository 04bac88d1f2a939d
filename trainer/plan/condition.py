"""A source's `where`: a DuckDB condition on one document's columns. It is a user's words, and reaches nothing else.

What is allowed is an expression over columns, of functions whose answer is no larger than what they are given. DuckDB
has many more. Queries could read files or look at other documents, of which only some are at hand; `random()` and
`now()` would give another answer next time, and a plan is compiled again on other machines; and DuckDB's memory limit
does not count the values of an expression: `repeat()` or `range()` of a large number takes the machine's memory.

NaN counts as NULL, which a document without a score has too: DuckDB's NaN is larger than every number, so that
`quality > 0.5` would take what was never scored.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trainer.errors import TrainerError

_LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "256MB",
    "temp_directory": "",
    "threads": "1",
    "lock_configuration": "true",
}
_TABLE = "documents"
_CLASSES = {
    *("BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR"),
    "TYPE",
}
"""Of DuckDB's expressions, those that a condition is made of."""
_SPEAK_OF = {
    "SUBQUERY": "a query of its own",
    "WINDOW": "other documents",
    "STAR": "columns by a pattern",
    "PARAMETER": "a parameter",
}
"""Others -> what they speak of."""
_FUNCTIONS = """
    + - * / // % ^ ** & | ~ << >> @ || ~~ ~~* ~~~ !~~ !~~* ^@
    like_escape ilike_escape not_like_escape not_ilike_escape regexp_matches regexp_full_match regexp_extract
    contains starts_with ends_with prefix suffix position strpos instr
    length len strlen char_length character_length octet_length bit_length ascii ord unicode
    lower upper lcase ucase trim ltrim rtrim left right substr substring reverse strip_accents concat
    abs ceil ceiling floor round trunc sign even mod pow power sqrt cbrt exp ln log log2 log10 isinf isfinite
    greatest least nullif if
    date_part datepart date_diff datediff date_trunc datetrunc year quarter month week day dayofweek dayofyear
    hour minute second epoch to_years to_months to_weeks to_days to_hours to_minutes to_seconds
    """
_TYPES = """
    boolean bool tinyint smallint integer int bigint hugeint utinyint usmallint uinteger ubigint uhugeint
    float real double decimal numeric varchar text string date time timestamp interval
    """
"""Casts to them; nested types and bits hold many times what they are made from."""
_ASKED = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating),
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_duration),
)
"""Of Arrow's types, those of columns that a condition may speak of; `_can_be_asked` names more."""
_ROWS, _BYTES = 32_768, 2**22
"""Of columns that DuckDB gets at a time: each function of a condition may hold as much again."""


class Condition:
    """One condition, checked as far as it can be without columns.

    Attributes:
        columns: Names that it speaks of, sorted, as it spells them.
    """

    def __init__(self, where: str, source: str) -> None:
        """Parses a condition.

        Args:
            where: DuckDB's SQL, such as `language = 'ko' and quality > 0.5`.
            source: The source it belongs to, for errors.

        Raises:
            TrainerError: It is no condition, or speaks of more than one document's columns.
        """
        self._where, self._source = where, source
        try:
            parts = list(_parts(self._parsed()))
        except RecursionError as error:
            raise self._wrong("it is nested too deeply; write it flatter") from error
        for part in parts:
            self._check(part)
        self.columns = tuple(sorted({_column(part) for part in parts if part["class"] == "COLUMN_REF"}))

    def holds(self, columns: pa.Table) -> NDArray[np.bool_]:
        """Whether it holds for each row; NULL counts as no, and NaN as NULL.

        Args:
            columns: The columns named by `columns`, a row a document.

        Raises:
            TrainerError: A column is of a type that can't be asked; or DuckDB refuses it: no such column, types that do
                not compare, a value that does not convert.
        """
        columns = self._asked(columns)
        row = "row" + "_" * max((len(name) for name in columns.column_names), default=0)  # no column's name
        numbered = columns.append_column(row, pa.array(np.arange(columns.num_rows)))
        found = np.zeros(columns.num_rows, np.bool_)
        with _connection() as connection:
            for some in _batches(numbered):
                try:
                    chosen = connection.from_arrow(some).set_alias(_TABLE).filter(self._where)
                    found[chosen.select(duckdb.ColumnExpression(row)).fetchnumpy()[row]] = True
                except duckdb.Error as error:
                    raise self._wrong(" ".join(str(error).split())) from error
        return found

    def _asked(self, columns: pa.Table) -> pa.Table:
        """Those that it speaks of, NULL in place of NaN."""
        columns = columns.select([name for name in columns.column_names if name in self.columns])
        for at, field in enumerate(columns.schema):
            if not _can_be_asked(field.type):
                raise self._wrong(
                    f"column {field.name!r} is of type {field.type}, which can't be asked; there are numbers (decimals "
                    "of up to 38 digits), strings, bytes, dates, times, and timestamps without a zone, such as UTC's"
                )
            if pa.types.is_floating(field.type):
                values = columns.column(at)
                if pa.types.is_float16(field.type):
                    values = values.cast(pa.float32())  # DuckDB has none of 16 bits
                values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
                columns = columns.set_column(at, field.name, values)
        return columns

    def _parsed(self) -> Any:
        """The condition as DuckDB parses it: nested lists and mappings."""
        try:
            duckdb.SQLExpression(self._where)  # one expression, so that nothing can close the bracket below
        except duckdb.Error as error:
            raise self._wrong(" ".join(str(error).split())) from error
        query = f"SELECT 1 FROM {_TABLE} WHERE ({self._where}\n)"  # noqa: S608 (parsed, never run)
        with _connection() as connection:
            ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        parsed = json.loads(text)
        if parsed["error"]:
            raise self._wrong(parsed["error_message"])
        return parsed["statements"][0]["node"]["where_clause"]

    def _check(self, part: dict[str, Any]) -> None:
        """Refuses an expression that is none of a condition's."""
        kind = str(part["class"])
        if kind not in _CLASSES:
            told = _SPEAK_OF.get(kind, f"what DuckDB calls {kind}")
            raise self._wrong(f"it speaks of {told}, and may speak of a document's columns only")
        if kind == "FUNCTION" and (name := str(part["function_name"]).lower()) not in _FUNCTIONS.split():
            raise self._wrong(
                f"{name}() is none of its functions, whose answers depend on the document alone and are no larger than "
                f"it; there are {' '.join(_FUNCTIONS.split())}; what is left to chance is a source's `share`"
            )
        if kind == "TYPE" and (name := str(part["type_name"]).lower()) not in _TYPES.split():
            raise self._wrong(f"{name!r} is none of the types that it may cast to, {' '.join(_TYPES.split())}")

    def _wrong(self, why: str) -> TrainerError:
        return TrainerError(f"source {self._source!r}: where {self._where!r} is no condition on its documents: {why}")


def _can_be_asked(kind: pa.DataType) -> bool:
    """Whether DuckDB reads it and gives the same answer everywhere: what time a zone's is depends on the machine's."""
    if pa.types.is_dictionary(kind):
        return _can_be_asked(kind.value_type)
    if pa.types.is_timestamp(kind):
        return kind.tz is None
    if pa.types.is_decimal(kind):
        return bool(kind.precision <= 38)
    return any(is_one(kind) for is_one in _ASKED)


def _batches(table: pa.Table) -> Iterator[pa.Table]:
    """All rows, at most `_ROWS` and `_BYTES` at a time but at least one."""
    start = 0
    while start < table.num_rows:
        some = table.slice(start, _ROWS)
        while some.num_rows > 1 and some.nbytes > _BYTES:
            some = some.slice(0, some.num_rows // 2)
        yield some
        start += some.num_rows


@contextmanager
def _connection() -> Iterator[Any]:
    """This process's connection, for one thread at a time."""
    connection, lock = _session(os.getpid())
    with lock:
        yield connection


@cache
def _session(pid: int) -> tuple[Any, threading.Lock]:  # noqa: ARG001 (a process has its own)
    """Kept for good: DuckDB crashes where a fork drops its parent's connection."""
    return duckdb.connect(config=_LOCKED), threading.Lock()


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every expression within a parsed one."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for value in node.values():
            yield from _parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _parts(value)


def _column(part: dict[str, Any]) -> str:
    names: list[str] = part["column_names"]
    return names[1] if len(names) > 1 and names[0].lower() == _TABLE else names[0]
