"""Compiles one window: draws documents in the mix, cuts and packs them, and shares the rows out to steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainer.errors import TrainerError
from trainer.plan.draw import Cursor, Drawer, Drawn, draw_until
from trainer.plan.extent import Extent, extent
from trainer.plan.limits import Available, budgets
from trainer.plan.pack import pack
from trainer.plan.pieces import cut
from trainer.plan.ramps import goals, value_at
from trainer.plan.shuffle import order
from trainer.plan.sources import SourceRuns
from trainer.plan.spec import PlanSpec
from trainer.plan.window import Arrays, SourceCounts, Window, WindowCounts, seal
from trainer.segments.library import Library

_MAX_RUNS = 1024
"""Runs after which a window ends at its next round: where a condition is rare, many are read to find few documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """All that a window is compiled from, besides the cursors of the one before."""

    spec: PlanSpec
    library: Library
    runs: Mapping[str, SourceRuns]
    held: Mapping[str, Available]

    def window(self, number: int, parent: str, cursors: Mapping[str, Cursor]) -> Window:
        """Compiles a window.

        Args:
            number: Its place in the chain, from 0.
            parent: Hash of the one before, of the plan for the first.
            cursors: Where that one stopped, by source; those that are missing begin.

        Raises:
            TrainerError: A source gives less than was expected of its share; its condition does not fit its columns.
            IntegrityError: A segment is damaged.
        """
        allowed = budgets(self.spec.stage, self.held)
        drawers = {name: Drawer(runs, cursors.get(name, Cursor()), allowed[name]) for name, runs in self.runs.items()}
        span = self._draw(drawers)
        last = self._is_last(drawers)
        moved = {name: drawer.stop() for name, drawer in drawers.items()}
        drawn = {name: drawer.drawn() for name, drawer in drawers.items()}
        arrays, split, padding = self._rows(Drawn.concatenate(drawn.values()), span, number)
        counts = WindowCounts(
            documents=sum(len(found.targets) for found in drawn.values()),
            split=split,
            targetless=sum(drawer.targetless for drawer in drawers.values()),
            positions=(len(arrays.offsets) - 1) * span.seq_len,
            padding=padding,
            targets=int(arrays.n_targets.sum()),
            dropped=sum(int(found.targets.sum()) for found in drawn.values()) - int(arrays.n_targets.sum()),
            sources={
                name: SourceCounts(documents=len(found.targets), targets=int(found.targets.sum()))
                for name, found in drawn.items()
            },
        )
        return seal(arrays, self.spec.hash, number, parent, last, counts, moved)

    def weights(self, at: int) -> dict[str, float]:
        """Shares of targets, not normalised, of the sources that take part once `at` targets are done."""
        if self.spec.stage.tokens is None:  # each as it has: they end together
            return {name: float(held.targets) for name, held in self.held.items()}
        return {name: weight for name, weight in value_at(self.spec.stage.mix, at).items() if weight > 0}

    def total(self) -> int:
        """Targets of the stage; for epochs as many as are expected where they were not counted."""
        stage = self.spec.stage
        return stage.tokens or round(sum(held.targets for held in self.held.values()) * (stage.epochs or 0))

    def most(self) -> int:
        """The same, or for epochs as many as there can be."""
        stage = self.spec.stage
        return stage.tokens or round(sum(held.most for held in self.held.values()) * (stage.epochs or 0))

    def _draw(self, drawers: Mapping[str, Drawer]) -> Extent:
        stage = self.spec.stage
        total = sum(drawer.targets for drawer in drawers.values())
        weights = self.weights(total)
        span = extent(stage, weights, self.runs, total, self.most())
        to_the_end = stage.tokens is None and span.stop >= self.most()
        taking_part = {name: drawers[name] for name in weights}
        mix = stage.mix if stage.tokens else ((0, weights),)
        while (to_the_end or total < span.stop) and sum(drawer.opened for drawer in drawers.values()) < _MAX_RUNS:
            if all(drawer.finished for drawer in taking_part.values()):
                if stage.tokens is None:
                    break
                taking_part = self._lacking(drawers, goals(mix, span.stop))
            goal = total + span.round if to_the_end else min(span.stop, total + span.round)
            resting = total - sum(drawer.targets for drawer in taking_part.values())
            draw_until(taking_part, goals(mix, goal), goal - resting, (stage.tokens or math.inf) - resting)
            total = resting + sum(drawer.targets for drawer in taking_part.values())
        return span

    def _lacking(self, drawers: Mapping[str, Drawer], wanted: Mapping[str, float]) -> dict[str, Drawer]:
        """Sources that lack part of a document: another had given it in their place, and what takes part has ended."""
        found = {name: drawers[name] for name in wanted if name in drawers and not drawers[name].finished}
        if not found:
            drawn = sum(drawer.targets for drawer in drawers.values())
            raise TrainerError(
                f"stage {self.spec.stage.name!r} has drawn all of {', '.join(map(repr, drawers))}: {drawn:,} targets, "
                "fewer than their shares were expected to hold; give it fewer tokens, or raise max_epochs"
            )
        return found

    def _is_last(self, drawers: Mapping[str, Drawer]) -> bool:
        if (tokens := self.spec.stage.tokens) is not None:
            return sum(drawer.targets for drawer in drawers.values()) >= tokens
        return not any(drawer.look() for drawer in drawers.values())

    def _rows(self, drawn: Drawn, span: Extent, number: int) -> tuple[Arrays, int, int]:
        """Rows by chance, steps of even sizes; also how many documents are split, and the padding."""
        pieces = cut(drawn, span.seq_len, self.library)
        packed, starts = pack(pieces.length - 1, span.seq_len)
        by_chance = order(len(starts) - 1, self.spec.seed, self.spec.stage.name, "rows", number)
        counts = np.diff(starts)[by_chance]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        flat = packed[np.repeat(starts[by_chance] - offsets[:-1], counts) + np.arange(offsets[-1])]
        targets = np.add.reduceat(pieces.targets[flat], offsets[:-1])
        steps = -(-len(by_chance) // span.rows_a_step)
        row_start = np.arange(steps + 1) * len(by_chance) // steps
        arrays = Arrays(
            offsets=offsets.astype(np.int32),
            segment=pieces.segment[flat].astype(np.int32),
            start=pieces.start[flat],
            length=pieces.length[flat].astype(np.int32),
            row_start=row_start[:-1],
            n_rows=np.diff(row_start).astype(np.int32),
            seq_len=np.full(steps, span.seq_len, np.int32),
            n_targets=np.add.reduceat(targets, row_start[:-1]),
        )
        used = int((pieces.length - 1).sum())
        return arrays, int((drawn.tokens - 1 > span.seq_len).sum()), len(by_chance) * span.seq_len - used
