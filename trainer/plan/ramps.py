"""Ramps: what holds after so many targets of a stage, and what a mix that changes asks of each source."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

Value = TypeVar("Value")


def value_at(ramp: Sequence[tuple[int, Value]], at: int) -> Value:
    """The value that holds once `at` targets are done; ramps start at 0 and rise."""
    return next(value for place, value in reversed(ramp) if place <= at)


def goals(mix: Sequence[tuple[int, Mapping[str, float]]], at: int) -> dict[str, float]:
    """Targets of each source among the stage's first `at`, as the mix has it up to there."""
    found: dict[str, float] = {}
    for number, (start, weights) in enumerate(mix):
        stop = min(at, mix[number + 1][0]) if number + 1 < len(mix) else at
        whole = sum(weights[name] for name in sorted(weights))  # in one order: sums of floats depend on it
        for name in sorted(weights):
            found[name] = found.get(name, 0.0) + max(0, stop - start) * (weights[name] / whole)
    return found
