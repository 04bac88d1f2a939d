"""Drawing: whole documents from each source until the stage has the targets it should, in the shares it should."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.plan.sources import Run, SourceRuns

_PATIENCE = 4
"""Documents passed over for being too long until one may be twice as much too long: 72 where all have 2^18 targets."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a stage takes of a source."""

    turns: int
    """Passes that it may begin."""
    targets: float = math.inf
    """After which it has enough, to a document."""
    spare: float = 0
    """Targets that it may pass over: the turns hold enough without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a stage has drawn from a source: what one window hands to the next."""

    targets: int = 0
    """Drawn in the stage."""
    passed_over: int = 0
    """Targets of documents that were too long for what the stage still wanted."""
    turn: int = 0
    """The pass, from 0."""
    run: int = 0
    """Place in the pass's order of runs."""
    place: int = 0
    """Documents of that run that are done with."""


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
        budget: What the stage takes of it.
    """

    def __init__(self, runs: SourceRuns, cursor: Cursor, budget: Budget) -> None:
        self._runs, self._budget = runs, budget
        self._turn, self._number, self._place = cursor.turn, cursor.run, cursor.place
        self._passed_over = cursor.passed_over
        self.targets = cursor.targets
        self.opened = 0
        """Runs read so far."""
        self.targetless = 0
        """Documents without targets that it came past."""
        self._run: Run | None = None
        self._left = self._ends = np.zeros(0, np.int64)
        self._at = 0
        self._drawn: list[tuple[Run, NDArray[np.int64]]] = []

    @property
    def finished(self) -> bool:
        """Whether it has enough, or all epochs were seen to be through."""
        return self.targets >= self._budget.targets or self._turn >= self._budget.turns

    def fill(self, limit: float) -> None:
        """Draws documents as long as the source's targets stay within `limit` and the budget."""
        limit = min(limit, self._budget.targets)
        while self.targets < limit and self.look():
            done = int(self._ends[self._at - 1]) if self._at else 0
            stop = int(np.searchsorted(self._ends, done + limit - self.targets, side="right"))
            fits = stop == len(self._left)
            self._take(stop - self._at)
            if not fits:
                return

    def one(self, room: float) -> None:
        """Draws one more document, if there is one.

        Those too long for the room, or for what the stage still wants of the source, are passed over in favour of a
        later one. How much too long one may be doubles with every `_PATIENCE` of them, so where all are long, one of
        them is drawn.

        Args:
            room: Targets that the stage still wants, of all sources.
        """
        room = min(room, self._budget.targets - self.targets)
        passed = 0
        while self.look():
            assert self._run is not None
            size = int(self._run.targets[self._left[self._at]])
            if size <= room + 2 ** (passed // _PATIENCE) or self._passed_over + size > self._budget.spare:
                self._take(1)
                return
            self._passed_over += size
            self._at += 1
            passed += 1

    def look(self) -> bool:
        """Whether there is another document; reads on until one is found or the source is finished.

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
            self._move(self._run, int(self._run.index[self._left[self._at - 1]]) + 1)
        return Cursor(
            targets=self.targets,
            passed_over=self._passed_over,
            turn=self._turn,
            run=self._number,
            place=self._place,
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
        self._run, self._at = run, 0
        self._left = np.arange(np.searchsorted(run.index, self._place), len(run.index))
        self._ends = np.cumsum(run.targets[self._left])
        self.opened += 1

    def _leave(self, run: Run) -> None:
        self._move(run, run.documents)
        self._run, self._place, self._number = None, 0, self._number + 1
        if self._number < len(self._runs):
            return
        if not (self.targets or self._passed_over):
            raise self._runs.nothing()
        self._turn, self._number = self._turn + 1, 0

    def _move(self, run: Run, place: int) -> None:
        before, after = np.searchsorted(run.targetless, (self._place, place))
        self.targetless += int(after - before)
        self._place = place


def draw_until(drawers: Mapping[str, Drawer], goals: Mapping[str, float], total: int, end: float) -> None:
    """Draws until the sources together have `total` targets, overshooting by one document at most.

    What is still to be drawn goes where most is lacking, so that afterwards every source is as near to its goal as
    whole documents allow. Sources that are finished are left out.

    Args:
        drawers: The sources that take part, by name.
        goals: Targets that each should have had by then.
        total: Their sum.
        end: Targets after which the stage ends, infinite where it ends with its sources: what overshoots that is not
            made up for, so documents too long for it are passed over.
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
        _draw_singly(drawers, active, goals, total, end)


def _draw_singly(
    drawers: Mapping[str, Drawer], active: list[str], goals: Mapping[str, float], total: int, end: float
) -> None:
    """The last documents, one by one; ends early where a source has finished, for the rest is shared out anew then."""
    while not any(drawers[name].finished for name in active):
        drawn = sum(drawer.targets for drawer in drawers.values())
        if drawn >= total:
            return
        most = max(active, key=lambda name: goals[name] - drawers[name].targets)  # the first name of equals
        drawers[most].one(end - drawn)


def _level(lacks: list[float], need: float) -> float:
    """The level down to which lacks, falling, are filled by `need` in all."""
    level = math.inf
    for count in range(1, len(lacks) + 1):
        level = (sum(lacks[:count]) - need) / count
        if count == len(lacks) or level >= lacks[count]:
            break
    return level
