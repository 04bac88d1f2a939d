"""Drawing: whole documents from each source until the stage has the targets it should, in the shares it should."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.plan.sources import Run, SourceRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a stage has drawn from a source: what one window hands to the next."""

    targets: int = 0
    """Drawn in the stage."""
    turn: int = 0
    """The pass, from 0."""
    run: int = 0
    """Place in the pass's order of runs."""
    place: int = 0
    """Documents of that run that are done with."""
    seen: int = 0
    """Documents of the source in this pass that are done with, where only a part of the pass is drawn."""
    before: int = 0
    """Targets drawn before this pass."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Drawn documents; arrays [n] of int64."""

    segment: NDArray[np.int64]
    """Library numbers."""
    start: NDArray[np.int64]
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]

    @classmethod
    def concatenate(cls, parts: "Iterable[Drawn]") -> "Drawn":
        """One after the other; none at all are empty arrays."""
        empty = np.zeros(0, np.int64)
        each = [(empty,) * 4, *((part.segment, part.start, part.tokens, part.targets) for part in parts)]
        return cls(*(np.concatenate(arrays) for arrays in zip(*each, strict=True)))


class Drawer:
    """Draws from one source, from a cursor on.

    Args:
        runs: The source.
        cursor: Where the window before has stopped.
        passes: Passes after which the source is finished. Of a broken last one every k-th document is drawn, spread
            over the pass.
    """

    def __init__(self, runs: SourceRuns, cursor: Cursor, passes: float) -> None:
        self._runs, self._passes = runs, passes
        self._turn, self._number, self._place, self._seen = cursor.turn, cursor.run, cursor.place, cursor.seen
        self._before = cursor.before
        self.targets = cursor.targets
        self.opened = 0
        """Runs read so far."""
        self.targetless = 0
        """Documents without targets that it came past."""
        self._run: Run | None = None
        self._left = self._ordinals = self._ends = np.zeros(0, np.int64)
        self._at = 0
        self._drawn: list[tuple[Run, NDArray[np.int64]]] = []

    @property
    def finished(self) -> bool:
        """Whether all passes were seen to be through."""
        return self._turn >= self._passes

    def fill(self, limit: float) -> None:
        """Draws documents as long as the source's targets stay within `limit`."""
        while self.targets < limit and self.look():
            done = int(self._ends[self._at - 1]) if self._at else 0
            stop = int(np.searchsorted(self._ends, done + limit - self.targets, side="right"))
            fits = stop == len(self._left)
            self._take(stop - self._at)
            if not fits:
                return

    def one(self) -> None:
        """Draws one more document, if there is one."""
        if self.look():
            self._take(1)

    def look(self) -> bool:
        """Whether there is another document; reads on until one is found or the passes are through.

        Raises:
            TrainerError: A whole pass has none.
        """
        while self._at == len(self._left) and not self.finished:
            if self._run is not None:
                self._leave(self._run)
            else:
                self._open()
        return not self.finished

    def stop(self) -> Cursor:
        """Ends the drawing; says where the next window goes on."""
        if self._run is not None and self._at:
            self._seen = int(self._ordinals[self._at - 1])
            self._move(self._run, int(self._run.index[self._left[self._at - 1]]) + 1)
        return Cursor(
            targets=self.targets,
            turn=self._turn,
            run=self._number,
            place=self._place,
            seen=self._seen,
            before=self._before,
        )

    def drawn(self) -> Drawn:
        """All that was drawn, in the order drawn."""
        return Drawn.concatenate(
            Drawn(np.full(len(chosen), run.segment), run.start[chosen], run.tokens[chosen], run.targets[chosen])
            for run, chosen in self._drawn
        )

    def _take(self, count: int) -> None:
        chosen = self._left[self._at : self._at + count]
        if self._run is not None and count:
            self._drawn.append((self._run, chosen))
            self.targets += int(self._run.targets[chosen].sum())
            self._at += count

    def _open(self) -> None:
        run = self._runs.run(self._turn, self._number)
        first = int(np.searchsorted(run.index, self._place))
        ordinals = self._seen + np.arange(1, len(run.index) - first + 1)
        share = min(1.0, self._passes - self._turn)
        chosen = np.flatnonzero(np.floor(ordinals * share) > np.floor((ordinals - 1) * share))
        self._run, self._left, self._ordinals, self._at = run, first + chosen, ordinals[chosen], 0
        self._ends = np.cumsum(run.targets[self._left])
        self.opened += 1

    def _leave(self, run: Run) -> None:
        self._seen += len(run.index) - int(np.searchsorted(run.index, self._place))
        self._move(run, run.documents)
        self._run, self._place, self._number = None, 0, self._number + 1
        if self._number < len(self._runs):
            return
        if self.targets == self._before and (self._turn == 0 or self._passes - self._turn >= 1):
            raise self._runs.nothing()
        self._turn, self._number, self._seen, self._before = self._turn + 1, 0, 0, self.targets

    def _move(self, run: Run, place: int) -> None:
        before, after = np.searchsorted(run.targetless, (self._place, place))
        self.targetless += int(after - before)
        self._place = place


def draw_until(drawers: Mapping[str, Drawer], goals: Mapping[str, float], total: int) -> None:
    """Draws until the sources together have `total` targets, overshooting by one document at most.

    What is still to be drawn goes where most is lacking, so that afterwards every source is as near to its goal as
    whole documents allow. Sources that are finished are left out.

    Args:
        drawers: The sources that take part, by name.
        goals: Targets that each should have had by then.
        total: Their sum.
    """
    names = sorted(drawers)
    while (need := total - sum(drawer.targets for drawer in drawers.values())) > 0:
        active = [name for name in names if not drawers[name].finished]
        if not active:
            return
        lack = {name: goals[name] - drawers[name].targets for name in active}
        level = _level(sorted(lack.values(), reverse=True), need)
        for name in active:
            drawers[name].fill(drawers[name].targets + lack[name] - level)
        _draw_singly(drawers, active, goals, total)


def _draw_singly(drawers: Mapping[str, Drawer], active: list[str], goals: Mapping[str, float], total: int) -> None:
    """The last documents, one by one; ends early where a source has finished, for the rest is shared out anew then."""
    while not any(drawers[name].finished for name in active):
        if sum(drawer.targets for drawer in drawers.values()) >= total:
            return
        most = max(active, key=lambda name: goals[name] - drawers[name].targets)  # the first name of equals
        drawers[most].one()


def _level(lacks: list[float], need: float) -> float:
    """The level down to which lacks, falling, are filled by `need` in all."""
    level = math.inf
    for count in range(1, len(lacks) + 1):
        level = (sum(lacks[:count]) - need) / count
        if count == len(lacks) or level >= lacks[count]:
            break
    return level
