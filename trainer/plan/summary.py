"""What a plan comes to: steps, epochs of each source, padding. Short stages are compiled whole, long ones guessed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.plan.compile import Compiler
from trainer.plan.extent import extent, phases, positions_a_target
from trainer.plan.ramps import goals
from trainer.plan.window import Window

_COMPILED = 8
"""Windows up to which a stage is compiled whole: some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """One source's part of a stage."""

    targets: int
    available: int
    """Targets of one pass."""
    counted: bool
    """Whether `available` is counted; else estimated by its shares, or by those of its segments that were counted."""

    @property
    def epochs(self) -> float:
        """How often the stage goes over it."""
        return self.targets / self.available


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """A stage as it will run."""

    stage: str
    exact: bool
    """Whether all of it was compiled; else windows, steps, documents and splits are extrapolated from the first."""
    windows: int
    steps: int
    targets: int
    documents: int
    split: int
    """Documents longer than a row."""
    targetless: int
    """Documents of one token, or masked as a whole: never drawn."""
    dropped: int
    """Targets of drawn documents that stand in no row: 0."""
    targetless_steps: int
    """Steps whose rows hold no target, such as of a long prompt alone: they are passed without moving the weights."""
    padding: tuple[float, ...]
    """Of each compiled window, the share of its positions that hold nothing."""
    sources: Mapping[str, SourceSummary]


def summarise(compiler: Compiler, window: Callable[[int], Window]) -> PlanSummary:
    """Summarises a plan.

    Args:
        compiler: The plan's.
        window: Gives its windows.
    """
    first = window(0)
    windows, steps = _estimate(compiler, first)
    if not first.last and windows > _COMPILED:
        factor = compiler.total() / first.counts.targets
        return _summary(compiler, [first], windows=windows, steps=steps, factor=factor)
    found = [first]
    while not found[-1].last:
        found.append(window(len(found)))
    return _summary(compiler, found, windows=len(found), steps=sum(len(each.steps) for each in found), factor=None)


def targetless_steps(window: Window) -> int:
    """Steps of a window that hold no target."""
    return int(np.count_nonzero(window.steps["n_targets"].to_numpy() == 0))


def _summary(compiler: Compiler, found: list[Window], *, windows: int, steps: int, factor: float | None) -> PlanSummary:
    """Of compiled windows; `factor` times what they count where they are not all."""
    counts = [each.counts for each in found]
    scale = factor or 1.0
    last = found[-1].cursors
    targets = {name: cursor.targets for name, cursor in last.items()} if factor is None else _targets(compiler)
    return PlanSummary(
        stage=compiler.spec.stage.name,
        exact=factor is None,
        windows=windows,
        steps=steps,
        targets=sum(targets.values()),
        documents=round(sum(each.documents for each in counts) * scale),
        split=round(sum(each.split for each in counts) * scale),
        targetless=round(sum(each.targetless for each in counts) * scale),
        dropped=sum(each.dropped for each in counts),
        targetless_steps=round(sum(targetless_steps(each) for each in found) * scale),
        padding=tuple(each.padding / each.positions for each in counts),
        sources={
            name: SourceSummary(targets=targets[name], available=held.targets, counted=held.exact)
            for name, held in compiler.held.items()
        },
    )


def _targets(compiler: Compiler) -> dict[str, int]:
    """Targets of each source in the whole stage."""
    stage = compiler.spec.stage
    if stage.tokens is None:
        return {name: round(held.targets * (stage.epochs or 0)) for name, held in compiler.held.items()}
    return {name: round(goal) for name, goal in goals(stage.mix, stage.tokens).items() if name in compiler.held}


def _estimate(compiler: Compiler, first: Window) -> tuple[int, int]:
    """Windows and steps, by the padding of the first window."""
    windows = steps = 0
    padding = first.counts.padding / first.counts.positions
    for start, stop in phases(compiler.spec.stage, compiler.total()):
        weights = compiler.weights(start)
        span = extent(compiler.spec.stage, weights, compiler.runs, start, stop)
        positions = (stop - start) * positions_a_target(weights, compiler.runs) / (1 - padding)
        windows += max(
            1, math.ceil((stop - start) / (span.stop - start) - 0.5)
        )  # as the last one takes up to half more
        steps += math.ceil(positions / (span.rows_a_step * span.seq_len))
    return windows, steps
