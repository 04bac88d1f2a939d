"""Which reader opens which task."""

from curation.readers.base import Reader
from curation.readers.jsonl import JsonlReader
from curation.readers.limits import Limits
from curation.readers.parquet import ParquetReader
from curation.readers.picks import PickReader
from curation.readers.warc import ArchiveReader
from schemas.tasks import Format, Task

VERSION = 1
"""Raise it whenever the same bytes give other pages: it is part of every task's id."""

READERS: dict[Format, type[Reader]] = {
    Format.WARC: ArchiveReader,
    Format.ARC: ArchiveReader,
    Format.JSONL: JsonlReader,
    Format.PARQUET: ParquetReader,
}

DEFAULT_LIMITS = Limits()


def open_task(task: Task, limits: Limits = DEFAULT_LIMITS) -> Reader:
    """The reader of a task's pages. Nothing is opened before the first page is asked for."""
    if task.records:
        return PickReader(task, limits)
    return READERS[task.source.format](task, limits)
