"""Preference pairs as a plan: which answers stand in which rows of which step.

A pair is the two documents 2i (chosen) and 2i + 1 (rejected) of a segment. Several pairs share two rows: chosen answers
in row 2k, piece by piece, and their rejected counterparts in row 2k + 1 under the same document ids. `PlanSource` with
`together=2` reads them ahead and keeps such rows on one rank and in one micro-batch. Each source gives its pairs in an
order by chance anew each pass; sources take turns so that each has its share of targets at any time. A pair that does
not fit a row is an error before the first step: half an answer is no preference. One whose answers are the same has no
targets: it is counted and left out. The whole stage is one window, made at once: a million pairs take some seconds, and
400 MB for that time.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.training import SourceSpec, StageSpec
from trainer.compiled import kernel
from trainer.errors import TrainerError
from trainer.plan.account import Account, account
from trainer.plan.condition import Condition
from trainer.plan.limits import Available, check_caps
from trainer.plan.ramps import goals, value_at
from trainer.plan.shares import in_share
from trainer.plan.shuffle import order
from trainer.plan.summary import PlanSummary, SourceSummary, targetless_steps
from trainer.plan.window import Arrays, SourceCounts, Window, WindowCounts, seal
from trainer.segments.library import Library

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs in some order; arrays [pairs] of int64."""

    segment: Ints
    """Library numbers."""
    start: Ints
    """Of the chosen document in its segment; the rejected one follows it."""
    chosen: Ints
    """Tokens."""
    rejected: Ints
    """Tokens."""
    targets: Ints
    """Of both answers."""
    source: Ints
    """Which of the stage's, by name."""

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: NDArray[np.int64 | np.bool_] | slice) -> "_Pairs":
        """Some of them."""
        return _Pairs(*(getattr(self, field.name)[which] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["_Pairs"]) -> "_Pairs":
        """One behind the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class PairPlan:
    """The pairs of one stage, planned.

    Args:
      stage: `batch` counts pairs, `seq_len` input positions of a row.
      sources: The recipe's; those of the stage's mix must be of kind preference.
      seed: Of the run.
      library: All segments.
      folders: Source -> number of its folder in the library.

    Raises:
      TrainerError: A source that is none of preferences or has no pairs, a pair longer than a row, or more targets
        wanted than `max_epochs` allow.
      IntegrityError: A segment is damaged.
    """

    def __init__(
        self,
        stage: StageSpec,
        sources: Mapping[str, SourceSpec],
        seed: int,
        library: Library,
        folders: Mapping[str, int],
    ) -> None:
        self._stage = stage
        names = sorted({name for _, mix in stage.mix for name, weight in mix.items() if weight > 0})
        read = {name: _read(name, place, sources[name], library, folders[name]) for place, name in enumerate(names)}
        found = {name: pairs for name, (pairs, _) in read.items()}
        for name, pairs in found.items():
            _check_lengths(stage, name, pairs)
        self._held = {name: int(pairs.targets.sum()) for name, pairs in found.items()}
        check_caps(stage, {name: Available.counted(targets) for name, targets in self._held.items()})
        keys = {name: library.folders[folders[name]].manifest.key for name in names}
        self._window = _window(stage, keys, _drawn(stage, seed, found), sum(same for _, same in read.values()))

    @property
    def total_targets(self) -> int:
        """Of the whole stage."""
        return self._window.counts.targets if self._stage.tokens is None else self._stage.tokens

    def window(self, number: int) -> Window:
        """The only one.

        Raises:
          IndexError: It is asked for another.
        """
        if number:
            raise IndexError(f"stage {self._stage.name!r} of pairs is one window, there is none of number {number}")
        return self._window

    def account(self) -> Account:
        """What becomes of the pairs."""
        return account([self._window.counts], self._held)

    def summary(self) -> PlanSummary:
        """Steps, documents (two a pair), padding and epochs; no pair is read."""
        counts = self._window.counts
        return PlanSummary(
            stage=self._stage.name,
            exact=True,
            windows=1,
            steps=len(self._window.steps),
            targets=counts.targets,
            documents=counts.documents,
            split=counts.split,
            targetless=counts.targetless,
            dropped=counts.dropped,
            targetless_steps=targetless_steps(self._window),
            padding=(counts.padding / counts.positions,) if counts.positions else (),
            sources={
                name: SourceSummary(targets=counts.sources[name].targets, available=held, counted=True)
                for name, held in self._held.items()
            },
        )


def _read(name: str, place: int, spec: SourceSpec, library: Library, folder: int) -> tuple[_Pairs, int]:
    """A source's pairs in the order of its segments, and how many more have answers that are the same."""
    segments = library.folders[folder]
    if spec.kind != "preference" or segments.manifest.kind != "preference":
        raise TrainerError(f"source {name!r} is of kind {spec.kind!r}, a dpo stage needs preference")
    where = Condition(spec.where, name) if spec.where else None
    parts: list[_Pairs] = []
    for i, segment in enumerate(segments.manifest.segments):
        columns = segments.columns(i, sorted({"id_hash", "targets", *(where.columns if where else ())}))
        starts = segments.starts(i)
        targets = columns["targets"].to_numpy().astype(np.int64).reshape(-1, 2).sum(1)
        mine = in_share(columns["id_hash"].to_numpy(), spec.share)[0::2]  # a pair goes by its chosen document
        if where:
            mine &= where.holds(columns)[0::2]
        lengths = np.diff(starts)
        number, source = (np.full(segment.documents // 2, value) for value in (library.number(folder, i), place))
        pairs = _Pairs(number, starts[:-1][0::2], lengths[0::2], lengths[1::2], targets, source)
        parts.append(pairs.take(mine))
    pairs = _Pairs.join(parts)
    differing = pairs.take(pairs.targets > 0)
    if not len(differing):
        raise TrainerError(
            f"source {name!r} has no pairs whose answers differ in {segments.manifest.data!r} under where "
            f"{spec.where!r}, share {spec.share!r}; give it data"
        )
    return differing, len(pairs) - len(differing)


def _check_lengths(stage: StageSpec, name: str, pairs: _Pairs) -> None:
    longest = np.maximum(pairs.chosen, pairs.rejected) - 1
    seq_len = min(length for _, length in stage.seq_len)
    if too_long := int((longest > seq_len).sum()):
        raise TrainerError(
            f"stage {stage.name!r}: {too_long:,} of the {len(pairs):,} pairs of source {name!r} are longer than "
            f"seq_len {seq_len}, the longest takes {longest.max():,} positions; set a seq_len that holds it, or take "
            "long pairs out of the data"
        )


def _drawn(stage: StageSpec, seed: int, found: Mapping[str, _Pairs]) -> _Pairs:
    """The stage's pairs in the order in which they are trained on."""
    parts, due = [], []
    for name, pairs in found.items():
        most = _most(stage, pairs)
        if not most:
            raise TrainerError(
                f"stage {stage.name!r}: {stage.epochs:g} epochs over the {len(pairs):,} pairs of source {name!r} are "
                "none; raise epochs, or take the source out of the mix"
            )
        turns = range(most // len(pairs) + 1)
        which = np.concatenate([order(len(pairs), seed, stage.name, name, turn) for turn in turns])[:most]
        parts.append(pairs.take(which))
        targets = parts[-1].targets
        due.append(_due(stage.mix, name, np.cumsum(targets) - targets))
    drawn = _Pairs.join(parts).take(np.argsort(np.concatenate(due), kind="stable"))  # the first name of equals
    if stage.tokens is None:
        return drawn
    return drawn.take(slice(int(np.searchsorted(np.cumsum(drawn.targets), stage.tokens)) + 1))


def _most(stage: StageSpec, pairs: _Pairs) -> int:
    """Pairs of a source that the stage may come to."""
    if stage.tokens is None:
        return round(len(pairs) * (stage.epochs or 0))
    needed = stage.tokens // max(1, int(pairs.targets.sum())) + 1  # epochs, were there no other source
    return len(pairs) * min(math.ceil(stage.max_epochs), needed)


def _due(mix: Sequence[tuple[int, Mapping[str, float]]], name: str, before: Ints) -> NDArray[np.float64]:
    """Targets of the stage behind which a source is to have given more than `before`; infinite where it never is."""
    starts = np.array([start for start, _ in mix], np.float64)
    goal = np.array([goals(mix, start).get(name, 0.0) for start, _ in mix])
    slope = np.array([weights.get(name, 0.0) / sum(weights.values()) for _, weights in mix])
    part = np.searchsorted(goal, before, side="right") - 1
    waiting = np.full(len(before), np.inf)
    np.divide(before - goal[part], slope[part], out=waiting, where=slope[part] > 0)
    due: NDArray[np.float64] = starts[part] + waiting
    return due


def _steps(stage: StageSpec, targets: Ints) -> tuple[Ints, Ints]:
    """Each step's first pair, and the length of its rows."""
    before = np.concatenate(([0], np.cumsum(targets)))
    firsts, seq_lens, at = [], [], 0
    while at < len(targets):
        done = int(before[at])
        firsts.append(at)
        seq_lens.append(value_at(stage.seq_len, done))
        at += value_at(stage.batch, done)
    return np.array(firsts, np.int64), np.array(seq_lens, np.int64)


def _window(stage: StageSpec, keys: Mapping[str, str], pairs: _Pairs, same: int) -> Window:
    """Steps of pairs, each packed into rows of its own: first fit, longest pairs first; `same` others were left out."""
    firsts, seq_lens = _steps(stage, pairs.targets)
    step = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(pairs))))
    packed = pairs.take(np.lexsort((-np.maximum(pairs.chosen, pairs.rejected), step)))
    bins = _bins(packed.chosen - 1, packed.rejected - 1, step, seq_lens)
    ends = 2 * (np.maximum.reduceat(bins, firsts) + 1)
    n_rows = np.diff(ends, prepend=0)
    arrays = Arrays(
        **_rows(packed, bins),
        row_start=ends - n_rows,
        n_rows=n_rows.astype(np.int32),
        seq_len=seq_lens.astype(np.int32),
        n_targets=np.add.reduceat(pairs.targets, firsts),
    )
    counts = _counts(pairs, same, int((n_rows * seq_lens).sum()), list(keys))
    plan = hashlib.sha256(json.dumps([stage.name, keys], sort_keys=True).encode()).hexdigest()
    return seal(arrays, plan, number=0, parent=plan, last=True, counts=counts, cursors={})


@kernel
def _bins(chosen: Ints, rejected: Ints, step: Ints, seq_lens: Ints) -> Ints:
    """The first bin of its step in which each pair has room on both sides; bins are numbered through all steps."""
    bins = np.empty(len(step), np.int64)
    left = np.empty((len(step), 2), np.int64)
    first = count = 0
    for pair in range(len(step)):
        if pair > 0 and step[pair] != step[pair - 1]:
            first = count
        place = first
        while place < count and (left[place, 0] < chosen[pair] or left[place, 1] < rejected[pair]):
            place += 1
        if place == count:
            left[place] = seq_lens[step[pair]]
            count += 1
        left[place, 0] -= chosen[pair]
        left[place, 1] -= rejected[pair]
        bins[pair] = place
    return bins


def _rows(pairs: _Pairs, bins: Ints) -> dict[str, NDArray[Any]]:
    """Two rows a bin, chosen and rejected, as the arrays of a window."""
    row = np.concatenate((2 * bins, 2 * bins + 1))
    by_row = np.argsort(row, kind="stable")
    return {
        "offsets": np.concatenate(([0], np.cumsum(np.bincount(row)))).astype(np.int32),
        "segment": np.tile(pairs.segment, 2)[by_row].astype(np.int32),
        "start": np.concatenate((pairs.start, pairs.start + pairs.chosen))[by_row],
        "length": np.concatenate((pairs.chosen, pairs.rejected))[by_row].astype(np.int32),
    }


def _counts(pairs: _Pairs, same: int, positions: int, names: Sequence[str]) -> WindowCounts:
    mine = [pairs.targets[pairs.source == place] for place in range(len(names))]
    return WindowCounts(
        documents=2 * len(pairs),
        split=0,
        targetless=2 * same,
        positions=positions,
        padding=positions - int((pairs.chosen + pairs.rejected - 2).sum()),
        targets=int(pairs.targets.sum()),
        dropped=0,
        sources={
            name: SourceCounts(documents=2 * len(targets), targets=int(targets.sum()))
            for name, targets in zip(names, mine, strict=True)
        },
    )
