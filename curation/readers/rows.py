"""From a row of JSONL or Parquet to a page: `text` is the page, our other columns are taken, the rest is metadata."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.records import Body, Fault, Page
from schemas.tasks import Source

TEXT = "text"
_OURS = ("id", "url", "dump", "date")


def row_to_page(row: Mapping[str, Any], offset: int, source: Source) -> Page:
    """The page of a row.

    Args:
      row: its columns. `metadata` may be a mapping or the JSON text of one (as in our shards): its entries are laid
        under those of the columns that are not ours.
      offset: its place in the file.
      source: the file.
    """
    own = {name: _word(row.get(name)) for name in _OURS}
    body, fault = _text(row.get(TEXT))
    return Page(
        id=own["id"] or f"{source.name}@{offset}",
        url=own["url"],
        path=source.name,
        offset=offset,
        dump=own["dump"] or source.dump,
        date=own["date"],
        body_kind=Body.NONE if fault else Body.TEXT,
        body=body,
        fault=fault,
        metadata=_metadata(row),
    )


def faulty_row(fault: Fault, offset: int, source: Source) -> Page:
    """The page of a row that can't be read."""
    place = f"{source.name}@{offset}"
    return Page(place, "", source.name, offset, source.dump, body_kind=Body.NONE, fault=fault)


def _text(value: object) -> tuple[bytes, Fault | None]:
    if value is None:
        return b"", Fault("no_text")
    if isinstance(value, bytes):  # Parquet's binary columns
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return b"", Fault("invalid_utf8", error.start, len(value))
        return value, None
    if not isinstance(value, str):
        return b"", Fault("text_not_string")
    return value.encode(), None


def _word(value: object) -> str:
    if value is None or isinstance(value, bool | list | dict):
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name != TEXT and name not in _OURS and value is not None}
    inner = rest.get("metadata")
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except ValueError:
            return rest
    if not isinstance(inner, dict):
        return rest
    del rest["metadata"]
    return {**inner, **rest}
