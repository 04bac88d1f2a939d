"""Preference pairs as a resumable source of batches.

A pair is the two documents 2i (chosen) and 2i + 1 (rejected) of a segment. Several pairs share two rows: chosen answers
in row 2k, piece by piece, and their rejected counterparts in row 2k + 1 under the same document ids; so a pair never
crosses ranks, nor micro-batches. Pairs are drawn one by one from the source that lacks most of its share of targets, in
an order by chance anew each pass. A pair that does not fit a row is an error before the first step: half an answer is
no preference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.training import SourceSpec, StageSpec
from trainer.batch import Batch, Step
from trainer.errors import ForeignError, TrainerError
from trainer.plan.condition import Condition
from trainer.plan.limits import Available, check_caps
from trainer.plan.ramps import goals, value_at
from trainer.plan.shares import in_share
from trainer.plan.shuffle import order
from trainer.plan.summary import SourceSummary
from trainer.segments.library import Library

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """One source's pairs; arrays [pairs] of int64."""

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

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class _Pair:
    """One pair as drawn."""

    segment: int
    start: int
    chosen: int
    rejected: int
    targets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSummary:
    """A stage of pairs as it will run, every step of it drawn."""

    steps: int
    pairs: int
    targets: int
    """Of both answers."""
    sources: Mapping[str, SourceSummary]


class PairSource:
    """The pairs of one stage.

    Args:
      stage: `batch` counts pairs, `seq_len` input positions of a row.
      sources: The recipe's; those of the stage's mix must be of kind preference.
      seed: Of the run.
      library: All segments.
      folders: Source -> number of its folder in the library.

    Raises:
      TrainerError: A source that is none of preferences or has no pairs, a pair longer than a row, or more targets
        wanted than `max_passes` allow.
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
        self._stage, self._seed, self._library = stage, seed, library
        names = sorted({name for _, mix in stage.mix for name, weight in mix.items() if weight > 0})
        self._keys = {name: library.folders[folders[name]].manifest.key for name in names}
        self._pairs = {name: _read(name, sources[name], library, folders[name]) for name in names}
        for name, pairs in self._pairs.items():
            _check_lengths(stage, name, pairs)
        held = {name: int(pairs.targets.sum()) for name, pairs in self._pairs.items()}
        check_caps(stage, {name: Available(targets, targets) for name, targets in held.items()})
        self._most = {  # pairs that the stage takes of each
            name: len(pairs) * stage.max_passes if stage.passes is None else round(len(pairs) * stage.passes)
            for name, pairs in self._pairs.items()
        }
        self._orders: dict[str, tuple[int, Ints]] = {}

    @property
    def total_targets(self) -> int:
        """Of the whole stage."""
        if self._stage.tokens is not None:
            return self._stage.tokens
        return sum(
            int(pairs.targets[self._order(name, turn)[: int(self._most[name]) - turn * len(pairs)]].sum())
            for name, pairs in self._pairs.items()
            for turn in range(-(-int(self._most[name]) // len(pairs)))
        )

    def summary(self) -> PairSummary:
        """Draws the stage's steps, as training will; no pair is read."""
        steps, counts, targets = self._restored(None)
        while self._draw(counts, sum(targets.values()), targets):
            steps += 1
        return PairSummary(
            steps=steps,
            pairs=sum(counts.values()),
            targets=sum(targets.values()),
            sources={
                name: SourceSummary(targets=targets[name], available=int(pairs.targets.sum()), counted=True)
                for name, pairs in self._pairs.items()
            },
        )

    def steps(self, state: Mapping[str, Any] | None, rank: int, world: int, micro_rows: int) -> Iterator[Step]:
        """The stage's steps behind `state`, this rank's rows of each.

        Args:
          state: Of the last step that was done; None: from the start.
          rank: This one, from 0.
          world: Of so many.
          micro_rows: Rows of a micro-batch; rounded down to pairs of rows, at least one.

        Raises:
          ForeignError: The state is of other pairs.
        """
        index, counts, targets = self._restored(state)
        while drawn := self._draw(counts, at := sum(targets.values()), targets):
            seq_len = value_at(self._stage.seq_len, at)
            bins = _pack(drawn, seq_len)
            mine = bins[rank::world]
            mine += [[]] * (-(-len(bins) // world) - len(mine))
            together = max(micro_rows // 2, 1)
            mine += [[]] * (-len(mine) % together)
            yield Step(
                index=index,
                seq_len=seq_len,
                rows=2 * len(bins),
                targets=sum(pair.targets for pair in drawn),
                batches=tuple(self._batch(mine[at : at + together], seq_len) for at in range(0, len(mine), together)),
                state={"steps": index + 1, "keys": self._keys, "pairs": dict(counts), "targets": dict(targets)},
            )
            index += 1

    def _restored(self, state: Mapping[str, Any] | None) -> tuple[int, dict[str, int], dict[str, int]]:
        """Steps done; pairs and targets drawn by source."""
        if state is None:
            return 0, dict.fromkeys(self._pairs, 0), dict.fromkeys(self._pairs, 0)
        if state["keys"] != self._keys:
            raise ForeignError(
                f"stage {self._stage.name!r} was begun with segments {state['keys']!r}, these are {self._keys!r}; give "
                "the data that it was begun with, or another output"
            )
        return state["steps"], dict(state["pairs"]), dict(state["targets"])

    def _draw(self, counts: dict[str, int], at: int, targets: dict[str, int]) -> list[_Pair]:
        """The step's pairs behind `at` targets; counts them."""
        drawn: list[_Pair] = []
        while len(drawn) < value_at(self._stage.batch, at):
            total = sum(targets.values())
            left = [name for name in self._pairs if counts[name] < self._most[name]]
            if not left or (self._stage.tokens is not None and total >= self._stage.tokens):
                break
            wanted = goals(self._stage.mix, total + 1)
            name = max(left, key=lambda name: wanted.get(name, 0.0) - targets[name])  # the first name of equals
            pairs = self._pairs[name]
            turn, place = divmod(counts[name], len(pairs))
            number = int(self._order(name, turn)[place])
            counts[name] += 1
            targets[name] += int(pairs.targets[number])
            fields = (pairs.segment, pairs.start, pairs.chosen, pairs.rejected, pairs.targets)
            drawn.append(_Pair(*(int(field[number]) for field in fields)))
        return drawn

    def _order(self, name: str, turn: int) -> Ints:
        if name not in self._orders or self._orders[name][0] != turn:
            self._orders[name] = turn, order(len(self._pairs[name]), self._seed, self._stage.name, name, turn)
        return self._orders[name][1]

    def _batch(self, bins: Sequence[Sequence[_Pair]], seq_len: int) -> Batch:
        """Two rows a bin: chosen, rejected."""
        shape = 2 * len(bins), seq_len
        tokens, targets, positions = (np.zeros(shape, np.int64) for _ in range(3))
        weights, documents = np.zeros(shape, np.float32), np.full(shape, -1, np.int32)
        for number, pairs in enumerate(bins):
            ends = [0, 0]
            for document, pair in enumerate(pairs):
                middle = pair.start + pair.chosen
                for side, (first, stop) in enumerate(((pair.start, middle), (middle, middle + pair.rejected))):
                    ids = self._library.read(pair.segment, "tokens", first, stop).astype(np.int64)
                    mask = self._library.read(pair.segment, "mask", first + 1, stop)
                    row, at = 2 * number + side, slice(ends[side], ends[side] + len(mask))
                    tokens[row, at], targets[row, at], weights[row, at] = ids[:-1], ids[1:] * mask, mask
                    documents[row, at], positions[row, at] = document, np.arange(len(mask))
                    ends[side] = at.stop
        return Batch(*(torch.from_numpy(field) for field in (tokens, targets, weights, documents, positions)))


def _read(name: str, spec: SourceSpec, library: Library, folder: int) -> _Pairs:
    """A source's pairs, in the order of its segments."""
    segments = library.folders[folder]
    if spec.kind != "preference" or segments.manifest.kind != "preference":
        raise TrainerError(f"source {name!r} is of kind {spec.kind!r}, a dpo stage needs preference")
    where = Condition(spec.where, name) if spec.where else None
    parts = []
    for i, segment in enumerate(segments.manifest.segments):
        columns = segments.columns(i, sorted({"id_hash", "targets", *(where.columns if where else ())}))
        starts, targets = segments.starts(i), columns["targets"].to_numpy().astype(np.int64)
        mine = in_share(columns["id_hash"].to_numpy(), spec.share)[0::2]  # a pair goes by its chosen document
        if where:
            mine &= where.holds(columns)[0::2]
        lengths = np.diff(starts)
        fields = starts[:-1][0::2], lengths[0::2], lengths[1::2], targets[0::2] + targets[1::2]
        numbers = np.full(segment.documents // 2, library.number(folder, i), np.int64)
        parts.append([field[mine] for field in (numbers, *fields)])
    pairs = _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else None
    if pairs is None or not len(pairs):
        raise TrainerError(
            f"source {name!r} has no pairs in {segments.manifest.data!r} under where {spec.where!r}, share "
            f"{spec.share!r}; give it data"
        )
    return pairs


def _check_lengths(stage: StageSpec, name: str, pairs: _Pairs) -> None:
    longest = np.maximum(pairs.chosen, pairs.rejected) - 1
    seq_len = min(length for _, length in stage.seq_len)
    if too_long := int((longest > seq_len).sum()):
        raise TrainerError(
            f"stage {stage.name!r}: {too_long:,} of the {len(pairs):,} pairs of source {name!r} are longer than "
            f"seq_len {seq_len}, the longest takes {longest.max():,} positions; set a seq_len that holds it, or take "
            "long pairs out of the data"
        )


def _pack(pairs: Sequence[_Pair], seq_len: int) -> list[list[_Pair]]:
    """Bins of pairs whose chosen and whose rejected documents each fit a row: first fit, longest pairs first."""
    longest_first = sorted(range(len(pairs)), key=lambda n: (-max(pairs[n].chosen, pairs[n].rejected), n))
    left = np.full((len(pairs), 2), seq_len, np.int64)
    bins: list[list[_Pair]] = [[] for _ in pairs]
    for n in longest_first:
        size = np.array([pairs[n].chosen - 1, pairs[n].rejected - 1])
        chosen = int((left >= size).all(1).argmax())
        left[chosen] -= size
        bins[chosen].append(pairs[n])
    return [members for members in bins if members]
