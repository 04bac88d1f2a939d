"""Which reader opens which task."""

from curation.readers.base import Reader
from curation.readers.jsonl import JsonlReader
from curation.readers.limits import Limits
from curation.readers.parquet import ParquetReader
from curation.readers.picks import PickReader
from curation.readers.warc import ArchiveReader
from schemas.records import Page
from schemas.tasks import Format, Source, Task

VERSION = 3
"""Raise it whenever the same bytes give other pages: it is part of every task's id."""

READERS: dict[Format, type[Reader]] = {
    Format.WARC: ArchiveReader,
    Format.ARC: ArchiveReader,
    Format.JSONL: JsonlReader,
    Format.PARQUET: ParquetReader,
}

DEFAULT_LIMITS = Limits()


def page_at(source: Source, offset: int, limits: Limits = DEFAULT_LIMITS) -> Page | None:
    """Reads one page again, None where the file has none at that offset.

    Goes straight to it where offsets are places in the file; else reads the file up to it.
    """
    straight = Task("", 0, source, offset, offset + 1, exact=True)
    whole = Task("", 0, source, 0, 2**63 - 1, exact=True)
    for task in (straight, whole):
        for page in open_task(task, limits):
            if page.offset == offset and (page.fault is None or task is whole):
                return page  # a fault seen from the middle of a stream may be none from its beginning
            if page.offset >= offset:
                break
    return None


def open_task(task: Task, limits: Limits = DEFAULT_LIMITS) -> Reader:
    """The reader of a task's pages. Nothing is opened before the first page is asked for."""
    if task.records:
        return PickReader(task, limits)
    return READERS[task.source.format](task, limits)
