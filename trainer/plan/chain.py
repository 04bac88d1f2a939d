"""A stage's plan: windows in a chain, each compiled when it is asked for, and kept in a folder."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.training import SourceSpec, StageSpec
from trainer.errors import ForeignError, TrainerError
from trainer.plan.account import Account, account
from trainer.plan.compile import Compiler
from trainer.plan.limits import available, check_caps
from trainer.plan.sources import SourceRuns
from trainer.plan.spec import plan_spec
from trainer.plan.summary import PlanSummary, summarise
from trainer.plan.window import Marker, Window, commit, load, read_marker
from trainer.segments.library import Library

_KEPT = 4
"""Windows that stay mapped: the one that is trained on, its neighbours, and one."""


class Plan:
    """A stage's rows, window by window. Threads may share it, processes its folder; it pickles by what it is made of.

    Args:
        stage: What to compile.
        sources: The recipe's sources; the stage's mix names those it takes.
        seed: Decides every order.
        held_out: Share of text documents that is never drawn.
        library: The segments.
        folders: Source -> which of the library's folders is its own.
        store: Folder of the windows; one a stage.

    Attributes:
        spec: All that decides its rows.

    Raises:
        TrainerError: The stage can't be had from these sources: kinds, batch, condition, repetition caps.
        IntegrityError: A segment is damaged.
    """

    def __init__(
        self,
        stage: StageSpec,
        sources: Mapping[str, SourceSpec],
        seed: int,
        held_out: float,
        library: Library,
        folders: Mapping[str, int],
        store: Path,
    ) -> None:
        self._made_of = stage, sources, seed, held_out, library, folders, store
        self.spec = plan_spec(stage, sources, seed, held_out, library, folders)
        runs = {
            name: SourceRuns(name, spec, library, folders[name], (seed, stage.name), held_out)
            for name, spec in self.spec.sources.items()
        }
        held = available(stage, runs)
        check_caps(stage, held)
        self.compiler = Compiler(spec=self.spec, library=library, runs=runs, held=held)
        self._store = store
        self._windows: dict[int, Window] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, self._made_of

    @property
    def total_targets(self) -> int:
        """Of the stage: its `tokens`; of epochs as many as there are, or are expected where that was not counted."""
        return self.compiler.total()

    def window(self, number: int) -> Window:
        """The window of a number; compiled, with those before it, where it is not there or damaged.

        Another thread may ask for the next one meanwhile: one that stands is given at once.

        Raises:
            IndexError: The stage ends before it.
            TrainerError: A source gives less than was expected; or a window came out another than it was.
            ForeignError: The folder holds another plan's windows.
            IntegrityError: A segment is damaged.
            StorageError: No room for the window.
        """
        if (window := self._windows.get(number)) is not None:
            return window
        with self._lock:
            for place in range(self._last_sound(number) + 1, number + 1):
                before = self._windows.get(place - 1)
                if before is not None and before.last:
                    raise IndexError(f"stage {self.spec.stage.name!r} has {place} windows, none of number {number}")
                self._keep(self._compiled(place, before))
            return self._windows[number]

    def account(self) -> Account:
        """What has become of the data of a stage that has ended; of sound windows it reads the markers alone."""
        found: list[Marker | Window] = []
        while not found or not found[-1].last:
            found.append(self._marker(len(found)) or self.window(len(found)))
        held = self.compiler.held
        return account((window.counts for window in found), {name: held[name].targets for name in held})

    def summary(self) -> PlanSummary:
        """Steps, epochs and padding, for `--dry-run`; compiles the whole stage only where it is short.

        Raises:
            What `window` raises.
        """
        return summarise(self.compiler, self.window)

    def _last_sound(self, number: int) -> int:
        """The last window up to `number` that stands, -1 where none does."""
        for place in range(number, -1, -1):
            if place in self._windows:
                return place
            if (found := self._loaded(place)) is not None:
                self._keep(found)
                return place
        return -1

    def _compiled(self, number: int, before: Window | None) -> Window:
        with _alone(self._store):
            if (found := self._loaded(number)) is not None:  # by another process, meanwhile
                return found
            parent, cursors = (before.hash, before.cursors) if before else (self.spec.hash, {})
            window = self.compiler.window(number, parent, cursors)
            marker, following = self._marker(number), self._marker(number + 1)
            for expected in (marker and marker.hash, following and following.parent):
                if expected is not None and expected != window.hash:
                    raise TrainerError(
                        f"window {number} of stage {self.spec.stage.name!r} is damaged in {str(self._store)!r}, and "
                        f"compiled again it is another one: {window.hash}, it was {expected}; segments or version are "
                        "not what they were: restore them, or start anew with --fresh"
                    )
            return commit(window, self.spec.hash, self._store)

    def _loaded(self, number: int) -> Window | None:
        marker = self._marker(number)
        return None if marker is None else load(self._store, number, marker)

    def _marker(self, number: int) -> Marker | None:
        marker = read_marker(self._store, number)
        if marker is not None and marker.plan != self.spec.hash:
            raise ForeignError(
                f"{str(self._store)!r} holds windows of plan {marker.plan}, this one of stage "
                f"{self.spec.stage.name!r} is {self.spec.hash}: recipe or data have changed; give another output, or "
                "start anew with --fresh"
            )
        return marker

    def _keep(self, window: Window) -> None:
        kept = {**self._windows, window.number: window}
        while len(kept) > _KEPT:
            kept.pop(next(iter(kept)))
        self._windows = kept  # replaced, never changed: readers take no lock


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process of this machine compile at a time: it spares the others the same work, and nothing more."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
