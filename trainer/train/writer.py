"""Writes checkpoints while training goes on.

The weights are copied to the CPU at once (pinned where they lie on a GPU); hashing and writing happen in a thread. A
checkpoint that can't be written, for want of room say, is told of and given up: training goes on, the last good one
stands, and the next is tried when it is due. Only one at a stage's end or before a stop must succeed (`finish`). The
newest whose weights a later step found good is never pruned: when training fails, it is what to go on from
(`fall_back`).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from storage.errors import StorageError
from trainer.errors import TrainingFailedError
from trainer.train import checkpoint


class CheckpointWriter:
    """The checkpoints of one run.

    Args:
      folder: `checkpoints/` of the run's output.
      keep: How many stay.
      note: Is told, in the caller's thread, what could not be written.
      last: The one that the run goes on from.
    """

    def __init__(self, folder: Path, keep: int, note: Callable[[str], None], last: Path | None = None) -> None:
        self.folder = folder
        self.last = last
        """The newest that stands."""
        self._keep = keep
        self._note = note
        self._failed: StorageError | None = None
        self._buffers: dict[str, Tensor] = {}
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._running: Future[Path] | None = None
        checkpoint.sweep(folder)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], proven: int) -> None:
        """Takes a copy and returns; waits first where the one before is still being written.

        Args:
          step: The last one done.
          tensors: All there are.
          state: Everything else, JSON-able.
          proven: The newest step whose weights are known to be good.
        """
        self.wait()
        self._copy(tensors)
        self._running = self._thread.submit(self._write, step, dict(self._buffers), state, proven)

    def collect(self) -> None:
        """Notes how the one that was being written ended, if it did; costs nothing."""
        if self._running is not None and self._running.done():
            self.wait()

    def wait(self) -> None:
        """Until nothing is being written."""
        if self._running is None:
            return
        try:
            self.last, self._failed = self._running.result(), None
        except StorageError as error:
            self._failed = error
            self._note(f"{error}; training goes on, {self._standing()}, the next is tried when it is due")
        finally:
            self._running = None

    def finish(self) -> None:
        """Until the last one stands.

        Raises:
          TrainingFailedError: It could not be written.
        """
        self.wait()
        if self._failed:
            raise TrainingFailedError(
                f"{self._failed}; {self._standing()}: free space and give the same command again"
            ) from self._failed

    def fall_back(self, proven: int) -> Path | None:
        """Removes what is newer than the newest good one, which is returned, if any.

        Args:
          proven: The newest step whose weights are known to be good.
        """
        self.wait()
        self.last = checkpoint.fall_back(self.folder, proven)
        return self.last

    def _standing(self) -> str:
        return f"the last good checkpoint is {self.last}" if self.last else "there is no checkpoint before it"

    def _write(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], proven: int) -> Path:
        path = checkpoint.write(self.folder, step, tensors, state)
        checkpoint.prune(self.folder, self._keep, proven)
        return path

    def _copy(self, tensors: Mapping[str, Tensor]) -> None:
        """Into the buffers of the checkpoint before, where they fit: pinned memory is slow to get."""
        kept = {}
        for name, tensor in tensors.items():
            buffer = self._buffers.get(name)
            if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            kept[name] = buffer.copy_(tensor.detach(), non_blocking=True)
        self._buffers = kept
        if any(tensor.is_cuda for tensor in tensors.values()):
            torch.cuda.synchronize()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
        self._thread.shutdown()
