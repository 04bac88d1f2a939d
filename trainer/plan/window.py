"""A compiled window: its rows and steps, its place in the chain, and its files.

A window is three files: `00012.rows.<hash>.arrow` and `00012.steps.<hash>.arrow`, named by their content, and the
marker `00012.json`, written last, which names and hashes them, itself ended by its own hash. What the marker does not
vouch for is compiled again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.commit import Committed, replace_atomic, sha256_file, write_hashed
from storage.errors import MissingError
from storage.paths import remove
from trainer import checksum
from trainer.errors import IntegrityError
from trainer.plan.draw import Cursor

ROWS = pa.schema([("segment", pa.list_(pa.int32())), ("start", pa.list_(pa.int64())), ("length", pa.list_(pa.int32()))])
"""A row: for each of its pieces the segment's library number, the first token in it, and the piece's tokens."""
STEPS = pa.schema(
    [("row_start", pa.int64()), ("n_rows", pa.int32()), ("seq_len", pa.int32()), ("n_targets", pa.int64())]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCounts:
    """One source's part of a window."""

    documents: int
    targets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """What became of a window's documents and positions."""

    documents: int
    """Drawn, with targets."""
    split: int
    """Of those, longer than a row."""
    targetless: int
    """Met and not drawn: of one token, or all of it masked."""
    positions: int
    """Of all rows."""
    padding: int
    """Positions of them that hold nothing."""
    targets: int
    dropped: int
    """Targets of the drawn documents that stand in no row: 0."""
    sources: Mapping[str, SourceCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of a plan. `hash` covers all of it, its plan, and by `parent` every window before it."""

    number: int
    hash: str
    parent: str
    """The window before; the plan itself for the first."""
    rows: pa.Table
    """Of schema `ROWS`, one chunk."""
    steps: pa.Table
    """Of schema `STEPS`, one chunk."""
    last: bool
    """Whether the stage ends with it."""
    counts: WindowCounts
    cursors: Mapping[str, Cursor]
    """Where the next window goes on in each source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """What a window's tables are made of."""

    offsets: NDArray[np.int32]
    """[rows + 1] Where each row's pieces begin."""
    segment: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int32]
    row_start: NDArray[np.int64]
    n_rows: NDArray[np.int32]
    seq_len: NDArray[np.int32]
    n_targets: NDArray[np.int64]


def seal(
    arrays: Arrays, plan: str, number: int, parent: str, last: bool, counts: WindowCounts, cursors: Mapping[str, Cursor]
) -> Window:
    """A window of arrays, with its hash: of the numbers themselves, whatever library writes them."""
    head = {
        "plan": plan,
        "number": number,
        "parent": parent,
        "last": last,
        "counts": dataclasses.asdict(counts),
        "cursors": {name: dataclasses.asdict(cursor) for name, cursor in cursors.items()},
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for field in dataclasses.fields(Arrays):
        values: NDArray[Any] = getattr(arrays, field.name)
        digest.update(f"\n{field.name} {values.dtype.name} {len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    lists = [
        pa.ListArray.from_arrays(arrays.offsets, values) for values in (arrays.segment, arrays.start, arrays.length)
    ]
    columns = [pa.array(values) for values in (arrays.row_start, arrays.n_rows, arrays.seq_len, arrays.n_targets)]
    return Window(
        number=number,
        hash=digest.hexdigest(),
        parent=parent,
        rows=pa.Table.from_arrays(lists, schema=ROWS),
        steps=pa.Table.from_arrays(columns, schema=STEPS),
        last=last,
        counts=counts,
        cursors=cursors,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A window's marker, as it stands on disk."""

    plan: str
    hash: str
    parent: str
    last: bool
    counts: WindowCounts
    cursors: Mapping[str, Cursor]
    rows: Committed
    steps: Committed


def commit(window: Window, plan: str, folder: Path) -> Window:
    """Writes a window's files; returns it as read back, mapped into memory.

    Raises:
        StorageError: No room, or the folder can't be written.
    """
    rows = _written(folder, f"{window.number:05}.rows", window.rows)
    steps = _written(folder, f"{window.number:05}.steps", window.steps)
    body = {
        "plan": plan,
        "hash": window.hash,
        "parent": window.parent,
        "last": window.last,
        "counts": dataclasses.asdict(window.counts),
        "cursors": {name: dataclasses.asdict(cursor) for name, cursor in window.cursors.items()},
        "rows": dataclasses.asdict(rows),
        "steps": dataclasses.asdict(steps),
    }
    replace_atomic(_marker(folder, window.number), checksum.append(json.dumps(body, sort_keys=True).encode()))
    return dataclasses.replace(window, rows=_mapped(folder, rows), steps=_mapped(folder, steps))


def read_marker(folder: Path, number: int) -> Marker | None:
    """A window's marker; None where there is none that is sound and of this version's fields."""
    try:
        body = json.loads(checksum.read(_marker(folder, number)))
        counts = body["counts"]
        counts["sources"] = {name: SourceCounts(**found) for name, found in counts["sources"].items()}
        body["counts"] = WindowCounts(**counts)
        body["cursors"] = {name: Cursor(**found) for name, found in body["cursors"].items()}
        body["rows"], body["steps"] = Committed(**body["rows"]), Committed(**body["steps"])
        return Marker(**body)
    except (MissingError, IntegrityError, TypeError, KeyError):
        return None


def load(folder: Path, number: int, marker: Marker) -> Window | None:
    """The window that a marker vouches for; None where its files are missing or damaged."""
    for file in (marker.rows, marker.steps):
        try:
            if sha256_file(str(folder / file.name)) != file.sha256:
                return None
        except MissingError:
            return None
    return Window(
        number=number,
        hash=marker.hash,
        parent=marker.parent,
        rows=_mapped(folder, marker.rows),
        steps=_mapped(folder, marker.steps),
        last=marker.last,
        counts=marker.counts,
        cursors=marker.cursors,
    )


def _marker(folder: Path, number: int) -> str:
    return str(folder / f"{number:05}.json")


def _written(folder: Path, name: str, table: pa.Table) -> Committed:
    def write(file: BinaryIO) -> None:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    written = write_hashed(str(folder), name, ".arrow", write)
    if sha256_file(str(folder / written.name)) != written.sha256:  # one of that name and size stood there, damaged
        remove(str(folder / written.name))
        written = write_hashed(str(folder), name, ".arrow", write)
    return written


def _mapped(folder: Path, file: Committed) -> pa.Table:
    with pa.memory_map(str(folder / file.name)) as mapped:
        return pa.ipc.open_file(mapped).read_all()
