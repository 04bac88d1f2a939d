"""From a row of JSONL or Parquet to a page: `text` is the page, our other columns are taken, the rest is metadata."""

import json
import re
from collections.abc import Mapping
from math import inf
from typing import Any

from schemas.records import Body, Fault, Page
from schemas.tasks import Source

TEXT = "text"
MAX_DEPTH = 64
"""Most levels of lists and mappings in a row: more would overflow the stack of whoever passes the page on."""
_OURS = ("id", "url", "dump", "date")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{1,8}){0,3}")
_SCRIPT = re.compile(r"[A-Z][a-z]{3}")
_MOST = 2**63
_NESTED = (dict, list, tuple)
_QUOTED = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKETS = re.compile(r"[\[{\]}]")


def row_to_page(row: Mapping[str, Any], offset: int, source: Source) -> Page:
    """The page of a row.

    Args:
      row: its columns. `language`, `language_script`, `language_score` and `token_count` are taken where they are
        such, and else metadata like any other. `metadata` may be a mapping or the JSON text of one (as in our shards):
        its entries are laid under those of the columns that are not ours. Where it is nested too deeply or holds half a
        surrogate pair, the row is a fault.
      offset: its place in the file.
      source: the file.
    """
    own = {name: _word(row.get(name)) for name in _OURS}
    body, fault = _text(row.get(TEXT))
    measured = _measured(row)
    metadata = _metadata(row, measured)
    if isinstance(metadata, Fault):
        return faulty_row(metadata, offset, source)
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
        metadata=metadata,
        **measured,
    )


def faulty_row(fault: Fault, offset: int, source: Source) -> Page:
    """The page of a row that can't be read."""
    place = f"{source.name}@{offset}"
    return Page(place, "", source.name, offset, source.dump, body_kind=Body.NONE, fault=fault)


def too_deep(value: object) -> bool:
    """Whether lists and mappings lie in each other over `MAX_DEPTH` levels; told level by level, not by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inside = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, _NESTED)]
        if not inside:
            return False
        level = [item for items in inside for item in items]
    return True


def half_surrogate(value: object, raw: str) -> Fault | None:
    """The fault of JSON that holds half a surrogate pair.

    Args:
      value: what the JSON says, at most `MAX_DEPTH` levels deep.
      raw: the JSON.
    """
    if "\\ud" in raw or "\\uD" in raw:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            return Fault("invalid_utf8", error.start, len(raw.encode()))
    return None


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


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """What stages may have said of the text before: those of the columns that hold what their name says.

    Languages name parts and scopes, so a crawl's free words are none.
    """
    found: dict[str, Any] = {}
    for name, shape in (("language", _LANGUAGE), ("language_script", _SCRIPT)):
        value = row.get(name)
        if isinstance(value, str) and (not value or shape.fullmatch(value)):
            found[name] = value
    score, tokens = row.get("language_score"), row.get("token_count")
    if isinstance(score, float) and -inf < score < inf:
        found["language_score"] = score
    elif type(score) is int and -_MOST < score < _MOST:
        found["language_score"] = float(score)
    if type(tokens) is int and 0 <= tokens < _MOST:
        found["token_count"] = tokens
    return found


def _metadata(row: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any] | Fault:
    own = {TEXT, *_OURS, *taken}
    rest = {name: value for name, value in row.items() if name not in own and value is not None}
    inner = rest.get("metadata")
    if isinstance(inner, str):
        inner = _opened(inner)
    if isinstance(inner, Fault):
        return inner
    if isinstance(inner, dict):
        del rest["metadata"]
        rest = {**inner, **rest}
    return Fault("bad_json") if too_deep(rest) else rest


def _opened(raw: str) -> object:
    """What a string says as JSON: None where it is none, a fault where it can't be passed on."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return Fault("bad_json", len(raw.encode())) if _brackets_deep(raw) else None
    if too_deep(value):
        return Fault("bad_json", len(raw.encode()))
    return half_surrogate(value, raw) or value


def _brackets_deep(raw: str) -> bool:
    """Whether more than `MAX_DEPTH` brackets are open at once outside of strings.

    So what is cut off deep inside is judged by its text, and not by how much stack the parser had left.
    """
    opened = 0
    for bracket in _BRACKETS.findall(_QUOTED.sub("", raw)):
        opened += 1 if bracket in "[{" else -1
        if opened > MAX_DEPTH:
            return True
    return False
