"""How far a window goes: what stays the same within it, and where it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from schemas.training import StageSpec
from trainer.plan.ramps import value_at
from trainer.plan.sources import SourceRuns

WINDOW_POSITIONS = 2**25
"""Input positions of a window. Larger ones pack and mix better; but a window's rows lie all over its runs, so what a
loader must keep of remote segments to read each block once is a window: 2^25 tokens are 64 or 128 MB, within its buffer
of 256."""
_LEAST_STEPS = 32
"""Where a batch is so large that fewer would fit. The steps of a window share its rows evenly, so a last, partly filled
step makes each of 32 smaller by 3 % at most."""
_FULL = 0.998
"""Of a window's rows are asked for, so that what packing leaves empty does not begin another step."""
_ROUNDS = 16
"""Parts in which a window is drawn, each in the mix: it may end after any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """One window's part of a stage."""

    seq_len: int
    rows_a_step: int
    stop: int
    """Targets of the stage after it."""
    round: int
    """Targets to draw at a time."""


def extent(
    stage: StageSpec, weights: Mapping[str, float], runs: Mapping[str, SourceRuns], start: int, stop: int
) -> Extent:
    """The window that begins after `start` targets of a stage.

    Args:
        stage: Its ramps.
        weights: Shares of targets of the sources that take part; they need not add up to 1.
        runs: All sources.
        start: Targets drawn so far.
        stop: Targets of the whole stage, or more than there are.
    """
    seq_len = value_at(stage.seq_len, start)
    rows = value_at(stage.batch, start) // seq_len
    step = rows * seq_len / positions_a_target(weights, runs)
    size = max(_LEAST_STEPS, WINDOW_POSITIONS // (rows * seq_len)) * step * _FULL
    left = next(end for _, end in phases(stage, stop) if end > start) - start if start < stop else size
    size = left if left <= 1.5 * size else size  # rather than a small window at the end, which would pack badly
    return Extent(
        seq_len=seq_len,
        rows_a_step=rows,
        stop=start + max(1, int(min(left, size))),
        round=max(1, int(max(step, size / _ROUNDS))),
    )


def phases(stage: StageSpec, stop: int) -> list[tuple[int, int]]:
    """The parts [start, stop) of a stage of `stop` targets within which sequence length, batch and mix are the same."""
    changes = {place for ramp in (stage.seq_len, stage.batch, stage.mix) for place, _ in ramp if place < stop}
    places = [*sorted(changes), stop]
    return list(pairwise(places))


def positions_a_target(weights: Mapping[str, float], runs: Mapping[str, SourceRuns]) -> float:
    """Input positions that a target of a mix costs: 1, more where masks hide some."""
    whole = sum(weights[name] for name in sorted(weights))
    return sum(weights[name] * runs[name].positions_a_target for name in sorted(weights)) / whole
