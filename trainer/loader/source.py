"""A compiled plan as a resumable source of batches."""

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch.utils.data import get_worker_info

from trainer.batch import Step
from trainer.errors import ForeignError
from trainer.loader.assemble import Share, assemble
from trainer.loader.prefetch import END_S, Job, Waits, ahead
from trainer.loader.rows import Rows
from trainer.plan.account import Account
from trainer.plan.window import Window
from trainer.segments.library import Library
from trainer.threads import Threads


class Windows(Protocol):
    """What a plan is to the loader."""

    @property
    def total_targets(self) -> int:
        """Of the whole stage."""

    def window(self, number: int) -> Window:
        """Compiles it where it is not there."""

    def account(self) -> Account:
        """What has become of the data of a stage that has ended."""


class PlanSource:
    """Reads a plan's rows ahead of training: `trainer.batch.Source`.

    The rows of a step are dealt to ranks in turn, so that the order of rows depends neither on the number of ranks nor
    on threads. A state is three numbers and a hash, the same on every rank; any number of ranks goes on from it.

    Args:
        plan: Its windows are compiled while the one before is read.
        library: The segments that it was made from.
        together: So many rows are dealt at a time and stay in one micro-batch, as the two of preference pairs; a step
            has a multiple of it.
        threads: That read and assemble.
        max_bytes: Of batches that lie ready or are being made, ahead of the one that training has.
        pin: Whether batches lie in memory that a GPU copies from by itself; None: where there is a GPU.

    Attributes:
        waits: How long the last iterator's steps were waited for.
    """

    def __init__(
        self,
        plan: Windows,
        library: Library,
        *,
        together: int = 1,
        threads: int = 8,
        max_bytes: int = 256 * 2**20,
        pin: bool | None = None,
    ) -> None:
        self._plan, self._library, self._together = plan, library, together
        self._threads, self._max_bytes = threads, max_bytes
        self._pin = pin
        self.waits = Waits()

    @property
    def total_targets(self) -> int:
        """Of the whole stage."""
        return self._plan.total_targets

    def account(self) -> Account:
        """What has become of the data of a stage that has ended."""
        return self._plan.account()

    @property
    def queue_depth(self) -> int:
        """Steps that lay ready behind the last one that was taken."""
        return self.waits.depth

    def steps(
        self,
        state: Mapping[str, Any] | None,
        rank: int,
        world: int,
        micro_batch_size: int,
        *,
        every: tuple[int, int] = (0, 1),
    ) -> Iterator[Step]:
        """The stage's steps behind `state` (None: from the start), this rank's rows of each.

        Args:
            state: Of the last step that was trained on.
            rank: Of the data-parallel group.
            world: Its ranks.
            micro_batch_size: Rows of a micro-batch; rounded down to what stays together, at least that.
            every: (k, n): only every n-th step, from the k-th on, for processes that share out the steps.

        Raises:
            ForeignError: The state is another plan's.
            IntegrityError: A segment is damaged.
            StorageError: A segment can't be read.
        """
        if not 0 <= rank < world or micro_batch_size < 1:
            raise ValueError(
                f"rank {rank!r} of {world!r}, micro_batch_size {micro_batch_size!r}: give 0 <= rank < world, 1 or more"
            )
        self.waits = Waits()
        here = get_worker_info() is None  # what a DataLoader's worker makes is copied on its way
        pin = here and torch.cuda.is_available() if self._pin is None else self._pin
        whole = max(micro_batch_size - micro_batch_size % self._together, self._together)
        share = partial(Share, rank=rank, world=world, micro_batch_size=whole, together=self._together)
        jobs = self._jobs(state, share, pin, every)
        try:
            yield from ahead(jobs, self._threads, self._max_bytes, self.waits)
        finally:
            self._library.rest(END_S)

    def _jobs(
        self, state: Mapping[str, Any] | None, share: "partial[Share]", pin: bool, every: tuple[int, int]
    ) -> Generator[Job[Step]]:
        number, begun, index = (0, 0, 0) if state is None else (state["window"], state["steps"], state["index"])
        window = self._plan.window(number)
        if state is not None and (window.hash != state["hash"] or begun > window.steps.num_rows):
            raise ForeignError(
                f"the checkpoint stands at step {begun:,} of window {number} with hash {state['hash']!r}, the plan's "
                f"window has {window.steps.num_rows:,} steps and hash {window.hash!r}: data, recipe or seed are other "
                "ones; give those that the run began with, or another output"
            )
        compiling = Threads("plan", 1)
        try:
            while True:
                following = None if window.last else compiling.submit(self._plan.window, number + 1)
                rows = Rows.of(window.rows)
                for place, step in enumerate(window.steps.slice(begun).to_pylist(), begun):
                    if (index - every[0]) % every[1] == 0:
                        behind = {"window": number, "hash": window.hash, "steps": place + 1, "index": index + 1}
                        mine = share(row_start=step["row_start"], n_rows=step["n_rows"], seq_len=step["seq_len"])
                        make = partial(self._step, rows, mine, index, step["n_targets"], behind, pin)
                        yield Job(mine.bytes, make)
                    index += 1
                if following is None:
                    return
                window, number, begun = following.result(), number + 1, 0
        finally:
            compiling.rest()

    def _step(self, rows: Rows, share: Share, index: int, targets: int, state: Mapping[str, Any], pin: bool) -> Step:
        return Step(
            index=index,
            seq_len=share.seq_len,
            rows=share.n_rows,
            targets=targets,
            batches=assemble(rows, self._library, share, pin=pin),
            state=state,
        )
