"""Bounded summaries of unbounded streams: histograms over fixed bins, and the most frequent keys.

Both merge. A histogram's merge is exact and its bounds never depend on the data, so every split of the input gives the
same counts. `HeavyHitters` is exact while the stream has at most `capacity` distinct keys; beyond that it is a lower
bound with a known error (Misra & Gries 1982; the merge is that of Agarwal et al., Mergeable Summaries, PODS 2012).
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

_R10 = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)

LENGTHS: tuple[float, ...] = (
    *(0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 80),
    *(base * 10**decade for decade in range(7) for base in _R10),
    10**9,
)
"""Lower bounds of the bins of lengths: preferred numbers, ten a decade (ISO 3, R10), so bars are even on a log axis."""

SCORES: tuple[float, ...] = tuple(i / 50 for i in range(50))
"""Lower bounds of the bins of scores in [0, 1], .02 wide; what lies outside is counted in the end bins."""

CLUSTER_SIZES: tuple[float, ...] = (
    *(2, 3, 4, 5, 10, 20, 50, 100, 200, 500),
    *(1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000),
)
"""Lower bounds of the bins of duplicate clusters' sizes."""


@dataclass(kw_only=True)
class Histogram:
    """Counts by bin: bin i holds the values in [edges[i], edges[i + 1]), the last one all above its edge.

    Values below the first edge are counted in the first bin, so that `total` is the number of values added. NaN is not
    a value and must not be added.
    """

    edges: tuple[float, ...]
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Gives every bin its counter."""
        self.counts += [0] * (len(self.edges) - len(self.counts))

    @property
    def total(self) -> int:
        """How many values were added."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Counts one value."""
        self.counts[max(0, bisect.bisect_right(self.edges, value) - 1)] += 1

    def merge(self, other: Self) -> None:
        """Adds the counts of a histogram with the same edges."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def quantile(self, share: float) -> float | None:
        """The value below which `share` of the values lie, interpolated within its bin; None where there are none."""
        left = share * self.total
        if not self.total:
            return None
        bounds = self.bounds()
        for (low, high), count in zip(bounds, self.counts, strict=True):
            if count and left <= count:
                return low + (high - low) * left / count
            left -= count
        return bounds[-1][1]

    def bounds(self) -> list[tuple[float, float]]:
        """Lower and upper bound of each bin; the last one is told as if it were as wide as the one before."""
        end = 2 * self.edges[-1] - self.edges[-2]
        return list(pairwise((*self.edges, round(end, 6))))

    def to_json(self) -> list[int]:
        """The counts, without the zeros at the end."""
        last = max((i for i, count in enumerate(self.counts) if count), default=-1)
        return self.counts[: last + 1]

    @classmethod
    def from_json(cls, counts: Sequence[int], edges: tuple[float, ...]) -> Self:
        """The histogram that `to_json` wrote.

        Raises:
          ValueError: there are more counts than bins.
        """
        if len(counts) > len(edges):
            raise ValueError(f"a histogram of {len(edges)} bins cannot hold {len(counts)} counts: {counts!r}")
        return cls(edges=edges, counts=list(counts))


@dataclass(kw_only=True)
class HeavyHitters:
    """The most frequent keys of a stream, in memory that does not grow with it.

    Each count is at most `error` below the truth and never above it, and `error` <= added / (capacity + 1), whatever
    the order of adding and merging. The counts themselves depend on that order only once keys had to be given up.
    """

    capacity: int
    counts: dict[str, int] = field(default_factory=dict)
    error: int = 0

    def add(self, key: str, times: int = 1) -> None:
        """Counts a key."""
        self.counts[key] = self.counts.get(key, 0) + times
        if len(self.counts) > _SLACK * self.capacity:
            self._prune()

    def merge(self, other: Self) -> None:
        """Adds the counts and the error of another summary of the same capacity."""
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        self.error += other.error
        if len(self.counts) > _SLACK * self.capacity:
            self._prune()

    def top(self, n: int) -> list[tuple[str, int]]:
        """The n most frequent keys, ties by key."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:n]

    def to_json(self) -> dict[str, Any]:
        """At most `capacity` keys, most frequent first, and the error of their counts."""
        kept = HeavyHitters(capacity=self.capacity, counts=dict(self.counts), error=self.error)
        kept._prune()
        return {"error": kept.error, "counts": dict(kept.top(self.capacity))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], capacity: int) -> Self:
        """The summary that `to_json` wrote."""
        return cls(capacity=capacity, counts=dict(data["counts"]), error=data["error"])

    def _prune(self) -> None:
        """Takes the count of the first key too many from every key: at most `capacity` stay above zero."""
        if len(self.counts) <= self.capacity:
            return
        cut = sorted(self.counts.values(), reverse=True)[self.capacity]
        self.counts = {key: count - cut for key, count in self.counts.items() if count > cut}
        self.error += cut


_SLACK = 8
"""Keys in memory for each one written: pruning seldom keeps the error far below its bound."""
