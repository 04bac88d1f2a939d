"""Columns of a shard, alike for all who read it: words are strings of UTF-8; what is none is told by its place."""

from collections.abc import Collection, Sequence

import pyarrow as pa

from trainer.errors import TrainerError

NEEDED = ("id", "text")
_LARGE = "metadata"
"""A column that nobody asks for, and that is large."""


def chosen(schema: pa.Schema, asked: Collection[str] | None, where: str) -> list[str]:
    """Names of the columns that are read of a shard.

    Args:
        schema: The shard's.
        asked: Of words, beside NEEDED, as far as the shard has them; None: every column that holds plain values and
            whose name is its own, but for `metadata`.
        where: The shard, for errors.

    Raises:
        TrainerError: There is no `id` or no `text`, or one of the columns of words holds none or stands twice.
    """
    names: list[str] = schema.names
    if missing := set(NEEDED) - set(names):
        raise TrainerError(f"{where!r} has no column {sorted(missing)}; there are {names}")
    words = {*NEEDED, *(asked or ())}
    for field in schema:
        if field.name in words and names.count(field.name) > 1:
            raise TrainerError(f"{where!r} has {names.count(field.name)} columns {field.name!r}; leave one of them")
        if field.name in words and not _gives_words(field):
            raise TrainerError(
                f"{where!r}: column {field.name!r} is of type {field.type}, strings were expected (string, "
                f"large_string, string_view, or a dictionary of them{'; or integers' * (field.name == 'id')})"
            )
    if asked is not None:
        return [name for name in names if name in words]
    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    return [name for name in plain if names.count(name) == 1 and name != _LARGE]


def checked(batch: pa.RecordBatch, names: Sequence[str], row: int, where: str) -> pa.RecordBatch:
    """The columns of those names; of words, found to be UTF-8, and as strings whatever they were stored as.

    Args:
        batch: Of a shard.
        names: Of `chosen`.
        row: Of the shard, that the batch begins with.
        where: The shard, for errors.

    Raises:
        TrainerError: Some words are no UTF-8, or an id is null; it says in which row.
    """
    found = []
    for name in names:
        column = batch.column(name)
        kind = column.type
        if not _is_string(kind) and (_is_words(kind) or name == "text"):
            column = column.cast(pa.large_string())
        if _is_string(column.type):
            _check_utf8(column, f"{where!r}: column {name!r} is of type {kind}", row)
        if name == "id":
            if column.null_count:
                first = row + column.is_null().index(True).as_py()
                raise TrainerError(f"{where!r} has no id in row {first:,}; give every document an id of its own")
            column = column.cast(pa.string())
        found.append(column)
    return pa.RecordBatch.from_arrays(found, names=list(names))


def _gives_words(field: pa.Field) -> bool:
    kind = field.type
    return _is_words(kind) or pa.types.is_null(kind) or (field.name == "id" and pa.types.is_integer(kind))


def _is_words(kind: pa.DataType) -> bool:
    return _is_string(kind.value_type if pa.types.is_dictionary(kind) else kind) or pa.types.is_string_view(kind)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_utf8(column: pa.Array, which: str, row: int) -> None:
    """Readers of Parquet look into no string, so one may hold anything."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        for at, value in enumerate(column.cast(pa.large_binary()).to_pylist(), row):
            try:
                (value or b"").decode()
            except UnicodeDecodeError as found:
                raise TrainerError(
                    f"{which}, and is no UTF-8 in row {at:,}: {found.reason} at byte {found.start:,}; write it again "
                    "as UTF-8, or leave the row out"
                ) from error
        raise
