"""TensorBoard's event files beside the JSON lines."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError

_FLUSH_S = 10.0


class Board:
    """Scalars of a run, as TensorBoard reads them.

    Not by torch's SummaryWriter: it writes in a thread, in which a full disk is a traceback, and then ends the run.
    Here the event file ends and the run goes on; what it would have shown stands in metrics.jsonl.

    Args:
      folder: `events` of the run's output.
      after: The step that the run goes on from; what TensorBoard has of later ones, it drops.
      note: Is told once where nothing can be written any more.

    Raises:
      TrainerError: The package tensorboard is not installed.
    """

    def __init__(self, folder: Path, after: int, note: Callable[[str], None]) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
            from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
            from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
        except ImportError as error:
            raise TrainerError("tensorboard is not installed; pip install 'gristmill[trainer]'") from error
        self._event, self._summary = Event, Summary
        self._note, self._flushed = note, time.monotonic()
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._records: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._records = RecordWriter((folder / name).open("wb"))
        except OSError as error:
            self._end(error)
        self._write(file_version="brain.Event:2")
        self._write(step=after + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Scalars of a step; None has no point."""
        known = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if value is not None]
        self._write(step=step, summary=self._summary(value=known))

    def close(self) -> None:
        """Writes what is left."""
        try:
            if self._records:
                self._records.close()
        except OSError as error:
            self._end(error)

    def _write(self, **fields: Any) -> None:
        if not self._records:
            return
        try:
            self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
            if time.monotonic() - self._flushed > _FLUSH_S:
                self._records.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        records, self._records = self._records, None
        if records:
            with contextlib.suppress(OSError):  # what it still holds can't be written either
                records.close()
        self._note(f"TensorBoard's events end here: {error}; training goes on, metrics.jsonl has every step")
