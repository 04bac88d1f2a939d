"""What storage says while it works (that it waits for a server, fetches a model), told on the terminal."""

import logging
import re
import sys
import time

from service.terminal import plain, silence

STORAGE = logging.getLogger("storage")
WORKERS = logging.getLogger("apache_beam.runners.portability.local_job_service")
_WAIT = re.compile(r"waiting (\d+\.\d) s: ")
_LOCATION = "/storage/"


class Notes(logging.Handler):
    """Prints a line a record to stderr: above the live progress where there is one.

    Many threads and workers may wait for one server: a wait is told only if it ends later than the one told before.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Tells it."""
        self.tell(record.getMessage())

    def tell(self, words: str) -> None:
        """Prints it, unless it is a wait that is told already."""
        if wait := _WAIT.match(words):
            from storage.retry import TOLD_S  # slow to import, and here already where there is a wait

            until = time.monotonic() + float(wait[1])
            if until < self._until + TOLD_S:
                return
            self._until = until
        try:
            print(f"note: {plain(words)}", file=sys.stderr, flush=True)  # noqa: T201
        except BrokenPipeError:
            silence(sys.stderr.fileno())


class WorkerNotes(logging.Handler):
    """Picks storage's words out of Beam's log of its local worker processes: `Worker: ` and an entry's text format."""

    def __init__(self, notes: Notes) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        """Tells it, if it is one of storage's."""
        from apache_beam.portability.api import beam_fn_api_pb2  # here already: Beam speaks
        from google.protobuf import text_format

        entry = beam_fn_api_pb2.LogEntry()
        try:
            text_format.Parse(record.getMessage().removeprefix("Worker: "), entry)
        except text_format.ParseError:
            return
        if _LOCATION in entry.log_location:
            self._notes.tell(entry.message)


def tell_storage() -> None:
    """From now on this process prints what storage says, here and in its local workers."""
    notes = Notes()
    for logger, handler, level in ((STORAGE, notes, logging.INFO), (WORKERS, WorkerNotes(notes), logging.WARNING)):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
