"""Plan: from input files to tasks, and the chain of bounds that makes ranges of one file sound.

The cut depends on the input alone: on its bytes in all and each file's size, never on workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.formats import named_format
from curation.hashing import job_id
from curation.index import Pick, selection
from curation.inputs import Given, dump_of, with_prefix
from curation.readers import VERSION, open_task
from schemas.tasks import Compression, Format, Source, Task
from storage.errors import StorageError
from storage.paths import open_read

TASKS_WANTED = 4096
MIN_RANGE = 2 << 20
MAX_RANGE = 256 << 20
WHOLE = 2**63 - 1
"""The end of a range that is a whole file in other units than its bytes."""


def range_size(total: int) -> int:
    """Bytes of a range: the power of two next above total / 4096, within 2 and 256 MiB."""
    wanted = -(-total // TASKS_WANTED)
    return min(max(1 << max(wanted - 1, 0).bit_length(), MIN_RANGE), MAX_RANGE)


def plan(given: Given, phase_hash: str) -> list[Task]:
    """The tasks of a run's first level, in (name, start) order.

    Args:
      given: what to read.
      phase_hash: of everything else that decides a task's output; part of each task's id.

    Raises:
      StorageError: a Parquet file can't be opened.
      FormatError: an index is not readable as Parquet.
    """
    indexes = {source.name for source in given.indexes}
    pages = [source for source in given.sources if source.name not in indexes]
    size = range_size(sum(source.size for source in pages))
    cut = [task for source in pages for task in _cut(source, size)]
    if indexes:
        cut += index_tasks(given)
    cut.sort(key=lambda task: (task.source.name, task.start))
    return [identified(replace(task, index=i), phase_hash) for i, task in enumerate(cut)]


def identified(task: Task, phase_hash: str) -> Task:
    """The task with its id: of its file, range and records, of the phase, and of how readers read."""
    source = task.source
    about = (source.name, source.size, source.etag, source.format, source.compression, source.dump)
    cut = (task.start, task.end, task.exact, task.pages, task.records)
    return replace(task, id=job_id(VERSION, phase_hash, *about, *cut))


def index_tasks(given: Given) -> Iterator[Task]:
    """Tasks of the records that an index names: of one file each, sorted by offset, of bounded bytes."""
    with selection(given.indexes, given.where) as (total, rows):
        limit = range_size(total)
        for name, places in groupby(rows(), key=lambda pick: pick[0]):
            source = _indexed_source(given, name)
            for records in _bounded(places, limit):
                yield Task("", 0, source, records[0][0], sum(records[-1]), exact=True, records=tuple(records))


def _indexed_source(given: Given, name: str) -> Source:
    path = with_prefix(given.prefix, name)
    form, compression = named_format(name) or (Format.WARC, Compression.GZIP)
    return Source(path, name, 0, "", form, compression, given.dump or dump_of(name))


def _bounded(places: Iterator[Pick], limit: int) -> Iterator[list[tuple[int, int]]]:
    records: list[tuple[int, int]] = []
    size = 0
    for _, offset, length in places:
        if records and size + length > limit:
            yield records
            records, size = [], 0
        records.append((offset, length))
        size += length
    if records:
        yield records


def _cut(source: Source, size: int) -> Iterator[Task]:
    """About equal ranges of a file, or the file as one."""
    cuts = _row_cuts(source, size) if source.format is Format.PARQUET else _byte_cuts(source, size)
    for start, end in pairwise(cuts):
        yield Task("", 0, source, start, end, exact=start == 0 or source.format is Format.PARQUET)


def _byte_cuts(source: Source, size: int) -> list[int]:
    packed = source.compression is Compression.GZIP
    splits = packed if source.format in (Format.WARC, Format.ARC) else source.compression is Compression.NONE
    if not splits or not source.size:
        return [0, WHOLE]
    ranges = max(1, -(-source.size // size))
    return [source.size * i // ranges for i in range(ranges + 1)]


def _row_cuts(source: Source, size: int) -> list[int]:
    """Cuts between row groups: within one, both sides would have to decode it."""
    try:
        with open_read(source.path) as handle, pq.ParquetFile(handle, pre_buffer=False) as parquet:
            groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
    except StorageError:
        raise
    except (pa.ArrowException, OSError):  # its reader says so, and the run may forgive one file
        return [0, WHOLE]
    total, ranges = sum(groups), max(1, -(-source.size // size))
    cuts, row = [0], 0
    for rows in groups:
        row += rows
        if row > cuts[-1] and row * ranges >= total * len(cuts):
            cuts.append(row)
    return cuts if cuts[-1] == total > 0 else [*cuts, total]


def close_chain(tasks: Sequence[Task], bounds: Sequence[tuple[int, int]]) -> list[Task]:
    """The tasks as they must be read for each to begin where the one before it in its file ended.

    A range's first member is found by looking for one, and what looks like one may lie inside somebody's body. Only
    the first task of a file knows its beginning; what it read up to `end` is sound, so the next task is if it began
    there, and so on. One that did not is to be read again from the exact place.

    Args:
      tasks: in (name, start) order, every task of each file.
      bounds: (first, end) that each one's reader reported.

    Returns:
      The same tasks; those to be read again with their start exact and another id. Equal to `tasks` once the chain is
      closed. Behind a task that is to be read again the next one is not judged yet, so more rounds may follow.
    """
    closed: list[Task] = []
    name = ""
    expected: int | None = 0  # where the next task of the file must begin; None where that is not known yet
    for task, (first, end) in zip(tasks, bounds, strict=True):
        if task.records or task.source.format is Format.PARQUET:
            closed.append(task)
            continue
        if task.source.name != name:
            name, expected = task.source.name, task.start
        limit = min(task.end, task.source.size or task.end)
        if expected is None:
            expected = first
        if expected >= limit:  # a member from before covers the whole range
            closed.append(task if first >= limit else again(task, start=expected, exact=True))
        elif first == expected:
            closed.append(task)
            expected = end
        else:
            closed.append(again(task, start=expected, exact=True))
            expected = None
    return closed


def again(task: Task, **changes: Any) -> Task:
    """The task with changes, and an id of its own that follows from its old one and them."""
    return replace(task, id=job_id(task.id, changes), **changes)


def limit_pages(tasks: Sequence[Task], limit: int) -> list[Task]:
    """The first tasks that hold `limit` pages together, the last of them told to stop there.

    Reads them, each from where the one before it ended, so the chain of the tasks returned is closed.
    """
    chosen: list[Task] = []
    name, expected = "", 0
    for task in tasks:
        if limit <= 0:
            break
        if task.source.name == name and task.source.format is not Format.PARQUET and not task.records:
            task = again(task, start=max(task.start, expected), exact=True)
        reader = open_task(replace(task, pages=limit))
        for _ in reader:
            pass
        limit -= reader.pages
        name, expected = task.source.name, reader.end
        chosen.append(task if limit > 0 else again(task, pages=reader.pages))
    return chosen
