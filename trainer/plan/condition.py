"""A source's `where`: a DuckDB condition on one document's columns. It is a user's words, and reaches nothing else.

What is allowed is an expression over columns and DuckDB's constant functions. Queries inside it could read files or
look at other documents, of which only some are at hand; functions such as `random()` and `now()` would give another
answer next time, and a plan is compiled again on other machines.
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
_FORBIDDEN = {
    "SUBQUERY": "a query of its own",
    "WINDOW": "other documents",
    "STAR": "columns by a pattern",
    "PARAMETER": "a parameter",
    "LAMBDA": "a lambda",
}
"""Classes of DuckDB's expressions -> what they speak of."""


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
        parts = list(_parts(self._parsed()))
        for part in parts:
            if (kind := str(part["class"])) in _FORBIDDEN:
                raise self._wrong(f"it speaks of {_FORBIDDEN[kind]}, and may speak of a document's columns only")
        self._check_functions({str(part["function_name"]).lower() for part in parts if part["class"] == "FUNCTION"})
        self.columns = tuple(sorted({_column(part) for part in parts if part["class"] == "COLUMN_REF"}))

    def holds(self, columns: pa.Table) -> NDArray[np.bool_]:
        """Whether it holds for each row; NULL counts as no.

        Args:
            columns: The columns named by `columns`, a row a document.

        Raises:
            TrainerError: DuckDB refuses it: no such column, types that do not compare, a value that does not convert.
        """
        row = "row" + "_" * max((len(name) for name in columns.column_names), default=0)  # no column's name
        numbered = columns.append_column(row, pa.array(np.arange(columns.num_rows)))
        found = np.zeros(columns.num_rows, np.bool_)
        with _connection() as connection:
            try:
                chosen = connection.from_arrow(numbered).set_alias(_TABLE).filter(self._where)
                found[chosen.select(duckdb.ColumnExpression(row)).fetchnumpy()[row]] = True
            except duckdb.Error as error:
                raise self._wrong(" ".join(str(error).split())) from error
        return found

    def _parsed(self) -> Any:
        """The condition as DuckDB parses it: nested lists and mappings."""
        try:
            duckdb.SQLExpression(self._where)  # one expression, so that nothing can close the bracket below
        except duckdb.Error as error:
            raise self._wrong(" ".join(str(error).split())) from error
        query = f"SELECT 1 FROM {_TABLE} WHERE ({self._where}\n)"  # noqa: S608 (parsed, never run)
        with _connection() as connection:
            (text,) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
        parsed = json.loads(text)
        if parsed["error"]:
            raise self._wrong(parsed["error_message"])
        return parsed["statements"][0]["node"]["where_clause"]

    def _check_functions(self, names: set[str]) -> None:
        query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT' ORDER BY 1"
        with _connection() as connection:
            inconstant = [name for (name,) in connection.execute(query).fetchall()]
        if found := [name for name in inconstant if name in names]:
            raise self._wrong(f"{found[0]}() asks more than a document; what is left to chance is a source's `share`")

    def _wrong(self, why: str) -> TrainerError:
        return TrainerError(f"source {self._source!r}: where {self._where!r} is no condition on its documents: {why}")


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
