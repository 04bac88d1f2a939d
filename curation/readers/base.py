"""What every reader has: an iterable of pages that also tells where it began and ended."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import BinaryIO

from curation.readers.limits import Limits
from curation.readers.window import Window
from schemas.records import Page
from schemas.tasks import Task
from storage.paths import open_read


class FormatError(OSError):
    """A file is not of the format that it was taken for; the message names it."""


class NoTextError(FormatError):
    """A table without the column `text`."""

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        super().__init__(f"{path}: no column `text`, only {', '.join(columns)}; rename the one that holds the text")


class Reader(ABC):
    """A task's pages, in the order of their offsets. Iterate once; the attributes grow along.

    Attributes:
      task: what is read.
      first: offset of the first member that it took for one; `end` where there was none.
      end: offset right behind the last member that starts in its range, where the next one should begin; the range's
        end where no member starts in it, the file's size at the file's end.
      skipped: records that are no pages, by kind (`request`, `warcinfo`, …).
      pages: how many pages were given.
      faults: those of them that the file holds damaged, by reason.
    """

    def __init__(self, task: Task, limits: Limits) -> None:
        self.task, self.limits = task, limits
        self.first = self.end = task.start
        self.skipped: Counter[str] = Counter()
        self.pages = 0
        self.faults: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Page]:
        """Yields the pages.

        Raises:
          OSError: the file can't be read; the storage's own words.
          FormatError: it is not of the format it was taken for.
        """
        with self._open() as handle, closing(self._read(handle)) as pages:
            for page in pages:
                self.pages += 1
                if page.fault:
                    self.faults[page.fault.reason] += 1
                yield page
                if self.pages == self.task.pages:
                    return

    def _open(self) -> BinaryIO:
        return open_read(self.task.source.path)

    @abstractmethod
    def _read(self, handle: BinaryIO) -> Generator[Page]:
        """The pages, from the open file; sets `first`, `end` and `skipped`."""

    def _place(self, offset: int) -> str:
        """The id of a page that brings none."""
        return f"{self.task.source.name}@{offset}"

    def _nothing_in_range(self, window: Window) -> None:
        """Sets the bounds for a range in which nothing starts."""
        self.first = self.end = min(self.task.end, max(self.task.start, window.size()))
