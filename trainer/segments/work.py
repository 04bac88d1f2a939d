"""Seals units: here, or in processes that share them."""

import multiprocessing as mp
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.synchronize import Event
from typing import Any

from storage.errors import StatusError, StorageError
from trainer.errors import TrainerError
from trainer.segments import marks
from trainer.segments.cut import cut
from trainer.segments.marks import Mark
from trainer.segments.origin import Chunk, Origin
from trainer.segments.seal import seal
from trainer.tokenizer.tokenizer import Tokenizer

Progressed = Callable[[int, int], None]
"""Gets documents and tokens as they are encoded; what it raises ends the work."""
_UNIT_BYTES = 8 * 2**20
"""Of packed text, below which another process is not worth its start."""
_TELL_S = 0.5
"""Between two messages of a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all units of some data have in common."""

    origin: Origin
    folder: str
    """Of sealed files."""
    lost: frozenset[int]
    """Units of whose sealed files some are gone."""
    most_tokens: int
    """Of a segment."""
    per_row: int
    """Documents of a row: 2 of a preference."""


class Stopped(Exception):  # noqa: N818 (it says what is the case)
    """The process that shares out the work wants it ended."""


def seal_unit(job: Job, unit: int, tokenizer: Tokenizer, progress: Progressed) -> None:
    """Brings a unit to its end, from where it stands: a stop costs the segment that was being made.

    Where another process is at the same unit, whoever seals a segment first makes it count, and both go on behind it.
    """
    name = job.origin.digests[unit]
    if unit in job.lost:
        for number, mark in enumerate(_sealed(job, unit, tokenizer, 0, 0, progress)):
            marks.replace(job.folder, name, number, mark)
    while not ((found := marks.standing(job.folder, name)) and found[-1].last):
        number = len(found)
        for mark in _sealed(job, unit, tokenizer, number, sum(mark.rows for mark in found), progress):
            if not marks.put(job.folder, name, number, mark):
                break
            number += 1
        if number == 0:
            marks.put(job.folder, name, 0, Mark(segment=None, rows=0, last=True))


def _sealed(job: Job, unit: int, tokenizer: Tokenizer, number: int, start: int, progress: Progressed) -> Iterator[Mark]:
    """Seals a unit's segments from `number` on, which begins with row `start`; each is to be marked."""
    chunks = _counted(job.origin.chunks(unit, tokenizer, start), progress)
    for n, part in enumerate(cut(chunks, tokenizer.dtype, job.most_tokens, job.per_row), number):
        entry = seal(job.folder, marks.name(job.origin.digests[unit], n), part.documents)
        yield Mark(segment=entry, rows=part.rows, last=part.last)


def _counted(chunks: Iterator[Chunk], progress: Progressed) -> Iterator[Chunk]:
    for chunk in chunks:
        progress(len(chunk.tokens), sum(len(tokens) for tokens in chunk.tokens))
        yield chunk


def seal_units(
    job: Job, units: list[int], tokenizer: Tokenizer, workers: int | None, progress: Callable[[int, int, int], None]
) -> None:
    """Brings units to their end.

    Args:
        job: What they have in common.
        units: Their numbers.
        tokenizer: Encodes them.
        workers: Processes; None for as many as there are cores, units, and work worth it.
        progress: Gets units, documents and tokens as they are finished.

    Raises:
        TrainerError: The data can't be; or a process died.
        StorageError: No room, or a store refuses.
    """
    cores = len(os.sched_getaffinity(0))
    if workers is None:
        workers = min(cores, 1 + sum(job.origin.sizes[unit] for unit in units) // _UNIT_BYTES)
    workers = min(workers, len(units))
    if workers > 1:
        _in_processes(job, units, tokenizer, workers, progress)
        return
    for unit in units:
        seal_unit(job, unit, tokenizer, lambda documents, tokens: progress(0, documents, tokens))
        progress(1, 0, 0)


def _in_processes(
    job: Job, units: list[int], tokenizer: Tokenizer, workers: int, progress: Callable[[int, int, int], None]
) -> None:
    context = mp.get_context("spawn")
    queue, stop = context.SimpleQueue(), context.Event()
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    arguments = (job, pickle.dumps(tokenizer), threads, queue, stop)
    pool = ProcessPoolExecutor(workers, context, _begin, arguments)
    try:
        _await({pool.submit(_seal, unit) for unit in units}, queue, progress)
    except BrokenProcessPool as error:
        raise TrainerError(
            f"a process that tokenized {job.origin.place!r} died, as when memory runs out; run the same again, "
            f"with fewer than {workers} workers: what was sealed stays"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _await(futures: "set[Future[None]]", queue: Any, progress: Callable[[int, int, int], None]) -> None:
    while futures:
        done, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
        while not queue.empty():
            progress(0, *queue.get())
        for future in done:
            future.result()
            progress(1, 0, 0)


class _Worker:
    """What a process got when it began."""

    job: Job
    tokenizer: Tokenizer
    teller: "_Teller"


class _Teller:
    """Tells the parent now and then: it reads slower than many processes could write."""

    def __init__(self, queue: Any, stop: Event) -> None:
        self._queue, self._stop = queue, stop
        self._documents = self._tokens = 0
        self._next = 0.0

    def __call__(self, documents: int, tokens: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._documents += documents
        self._tokens += tokens
        if time.monotonic() >= self._next:
            self.flush()
            self._next = time.monotonic() + _TELL_S

    def flush(self) -> None:
        """Tells what is left."""
        self._queue.put((self._documents, self._tokens))
        self._documents = self._tokens = 0


def _begin(job: Job, tokenizer: bytes, threads: int, queue: Any, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells, and a segment half made leaves nothing behind
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # read when a tokenizer first encodes, and opening one does
    _Worker.job, _Worker.tokenizer = job, pickle.loads(tokenizer)  # noqa: S301 (our parent's)
    _Worker.teller = _Teller(queue, stop)


def _end_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _seal(unit: int) -> None:
    try:
        seal_unit(_Worker.job, unit, _Worker.tokenizer, _Worker.teller)
        _Worker.teller.flush()
    except StatusError as error:  # does not come through a pipe
        raise StorageError(str(error)) from error
