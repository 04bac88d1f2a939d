"""Preference pairs: planned, packed, read ahead, resumed, and refused."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from schemas.training import SourceSpec, StageSpec
from tests.trainer import sealed
from trainer.batch import Batch, Step
from trainer.errors import ForeignError, TrainerError
from trainer.loader import PlanSource
from trainer.plan.pairs import PairPlan
from trainer.segments.library import Library
from trainer.segments.read import Segments

Pair = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Ids and mask of the chosen document, and of the rejected one."""


def make(folder: Path, count: int, seed: int, longest: int = 30) -> list[Pair]:
    """Writes pairs whose ids tell them apart, in two segments."""
    generator = np.random.default_rng(seed)
    documents: list[NDArray[Any]] = []
    masks: list[NDArray[np.uint8]] = []
    for number in range(2 * count):
        size = int(generator.integers(4, longest))
        prompt = int(generator.integers(1, size - 1))
        documents.append(np.concatenate([[1000 * seed + number], generator.integers(1, 900, size - 1)]))
        masks.append(np.array([0] * prompt + [1] * (size - prompt), np.uint8))
    half = count // 2 * 2
    parts = (slice(0, half), slice(half, None))
    sealed.write(
        folder,
        [documents[part] for part in parts],
        masks=[masks[part] for part in parts],
        kind="preference",
    )
    lines = [(tuple(map(int, ids)), tuple(map(int, mask))) for ids, mask in zip(documents, masks, strict=True)]
    return [(*lines[2 * n], *lines[2 * n + 1]) for n in range(count)]


def stage(**changes: Any) -> StageSpec:
    fields = {"name": "dpo", "mix": {"a": 1}, "epochs": 1, "seq_len": 64, "batch": 8, "lr": {"from": 1e-3}}
    return StageSpec.model_validate({**fields, "loss": {"name": "dpo"}, **changes})


KIND = SourceSpec(kind="preference")


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    return make(tmp_path / "a", 50, 1)


@pytest.fixture
def library(tmp_path: Path, pairs: list[Pair]) -> Library:
    make(tmp_path / "b", 30, 2)
    return Library([Segments.open(str(tmp_path / name)) for name in "ab"])


def plan(library: Library, spec: StageSpec, seed: int = 7, **sources: SourceSpec) -> PairPlan:
    return PairPlan(spec, {"a": KIND, "b": KIND, **sources}, seed, library, {"a": 0, "b": 1})


def source(library: Library, spec: StageSpec, seed: int = 7, threads: int = 2, **sources: SourceSpec) -> PlanSource:
    return PlanSource(plan(library, spec, seed, **sources), library, together=2, threads=threads)


def taken(batch: Batch) -> list[Pair]:
    """The pairs of a batch, its invariants checked."""
    found: list[Pair] = []
    assert len(batch.tokens) % 2 == 0
    for row in range(0, len(batch.tokens), 2):
        chosen, rejected = (_pieces(batch, one) for one in (row, row + 1))
        assert len(chosen) == len(rejected)
        found += [(*one, *other) for one, other in zip(chosen, rejected, strict=True)]
    return found


def _pieces(batch: Batch, row: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    documents = batch.documents[row]
    empty = documents == -1
    for field in (batch.tokens, batch.targets, batch.weights, batch.positions):
        assert not field[row][empty].any()
    pieces = []
    for number in range(int(documents.max()) + 1):
        (places,) = torch.where(documents == number)
        assert batch.positions[row][places].tolist() == list(range(len(places)))
        ids, weights = batch.tokens[row][places].tolist(), batch.weights[row][places].tolist()
        targets = batch.targets[row][places].tolist()
        assert [target for target, weight in zip(targets, weights, strict=True) if not weight] == [
            0 for weight in weights if not weight
        ]
        last = targets[-1]  # answers end their documents
        assert [after for after, weight in zip([*ids[1:], last], weights, strict=True) if weight] == [
            target for target, weight in zip(targets, weights, strict=True) if weight
        ]
        pieces.append(((*ids, last), (0, *(int(weight) for weight in weights))))
    return pieces


def drawn(steps: list[Step]) -> list[Pair]:
    return [pair for step in steps for batch in step.batches for pair in taken(batch)]


def by_source(pairs: list[Pair]) -> dict[str, int]:
    """Targets of each source, known by its first ids."""
    found = {"a": 0, "b": 0}
    for pair in pairs:
        found["a" if pair[0][0] < 2000 else "b"] += sum(pair[1]) + sum(pair[3])
    return found


def test_a_pass_takes_each_pair_once(library: Library, pairs: list[Pair]) -> None:
    made = source(library, stage())
    steps = list(made.steps(None, 0, 1, 4))
    assert sorted(drawn(steps)) == sorted(pairs)
    assert drawn(steps) != pairs
    assert [len(drawn([step])) for step in steps] == [8] * 6 + [2]
    assert [step.index for step in steps] == list(range(7))
    for step in steps:
        assert step.targets == sum(int(batch.weights.sum()) for batch in step.batches)
        assert {batch.tokens.shape for batch in step.batches} == {(4, 64)}
    assert sum(step.targets for step in steps) == made.total_targets == sum(sum(p[1]) + sum(p[3]) for p in pairs)


def test_types(library: Library) -> None:
    batch = next(source(library, stage()).steps(None, 0, 1, 2)).batches[0]
    fields = (batch.tokens, batch.targets, batch.weights, batch.documents, batch.positions)
    assert [field.dtype for field in fields] == [
        torch.int64, torch.int64, torch.float32, torch.int32, torch.int64,
    ]  # fmt: skip


def test_passes_differ_and_may_be_broken(library: Library, pairs: list[Pair]) -> None:
    made = source(library, stage(epochs=2.5))
    found = drawn(list(made.steps(None, 0, 1, 8)))
    first, second, rest = found[:50], found[50:100], found[100:]
    counted = Counter(found)
    assert sorted(counted[pair] for pair in pairs) == [2] * 25 + [3] * 25
    assert sorted(first) != first != second
    assert len(rest) == 25
    assert made.total_targets == sum(sum(p[1]) + sum(p[3]) for p in found)


@pytest.mark.parametrize("world", [2, 3, 4, 8])
@pytest.mark.parametrize("micro_batch_size", [1, 2, 6])
def test_a_pair_stays_on_one_rank(library: Library, world: int, micro_batch_size: int) -> None:
    made = source(library, stage())
    one = list(made.steps(None, 0, 1, 2))
    many = [list(made.steps(None, rank, world, micro_batch_size)) for rank in range(world)]
    for number, step in enumerate(one):
        ranks = [steps[number] for steps in many]
        assert sorted(drawn(ranks)) == sorted(drawn([step]))
        assert {(rank.index, rank.targets, rank.rows, rank.seq_len) for rank in ranks} == {
            (step.index, step.targets, step.rows, step.seq_len)
        }
        assert all(rank.state == step.state for rank in ranks)
        shapes = [[tuple(batch.tokens.shape) for batch in rank.batches] for rank in ranks]
        assert all(shape == shapes[0] for shape in shapes)
        assert {rows for rows, _ in shapes[0]} == {max(2, micro_batch_size // 2 * 2)}


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize(("world", "threads"), [(1, 1), (1, 8), (3, 2)])
def test_goes_on_where_it_stopped(library: Library, after: int, world: int, threads: int) -> None:
    spec = stage(epochs=1.6, mix={"a": 2, "b": 1})
    whole = list(source(library, spec).steps(None, 0, 1, 4))
    state = json.loads(json.dumps(whole[after - 1].state))
    ranks = [list(source(library, spec, threads=threads).steps(state, rank, world, 4)) for rank in range(world)]
    for rest in ranks:
        assert [(step.index, step.state) for step in rest] == [(step.index, step.state) for step in whole[after:]]
    for step, *parts in zip(whole[after:], *ranks, strict=True):
        assert sorted(drawn(parts)) == sorted(drawn([step]))
        assert world > 1 or drawn(parts) == drawn([step])


@pytest.mark.parametrize(
    "other", [{"seed": 8}, {"a": SourceSpec(kind="preference", share=(0, 0.9))}, {"spec": stage(name="other")}]
)
def test_other_data_is_refused(library: Library, other: dict[str, Any]) -> None:
    step = next(source(library, stage()).steps(None, 0, 1, 4))
    with pytest.raises(ForeignError, match=r"data, recipe or seed are other ones"):
        next(source(library, **{"spec": stage(), **other}).steps(step.state, 0, 1, 4))


def test_equal_rows_of_other_segments_are_refused(tmp_path: Path) -> None:
    libraries = []
    for name in "ab":
        make(tmp_path / name, 10, 1)
        libraries.append(Library([Segments.open(str(tmp_path / name))]))
    plans = [PairPlan(stage(), {"a": KIND}, 7, one, {"a": 0}) for one in libraries]
    assert plans[0].window(0).rows == plans[1].window(0).rows
    assert plans[0].window(0).hash != plans[1].window(0).hash


def test_the_seed_decides_the_order(library: Library) -> None:
    orders = [drawn(list(source(library, stage(), seed).steps(None, 0, 1, 2))) for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]


def test_steps_are_read_ahead(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, while whoever took the first one asks for no other."""
    asked: list[str] = []
    gather = Segments.gather

    def counted(self: Segments, i: int, array: str, starts: Any, stops: Any) -> Any:
        asked.extend([array] * len(starts))
        return gather(self, i, array, starts, stops)

    made = source(library, stage())
    monkeypatch.setattr(Segments, "gather", counted)
    steps = made.steps(None, 0, 1, 2)
    next(steps)
    deadline = time.monotonic() + 20
    while len(asked) < 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Counter(asked) == {"tokens": 100, "mask": 100}  # two documents a pair
    assert len(list(steps)) == 6


def test_a_mix_holds_in_targets(library: Library) -> None:
    made = source(library, stage(mix={"a": 3, "b": 1}, epochs=None, tokens=1500, max_epochs=3, batch=4))
    steps = list(made.steps(None, 0, 1, 4))
    targets = by_source(drawn(steps))
    total = sum(targets.values())
    assert 1500 <= total < 1500 + 60
    assert abs(targets["a"] - 0.75 * total) < 60
    assert made.total_targets == 1500
    for number in range(len(steps)):
        so_far = by_source(drawn(steps[: number + 1]))
        assert abs(so_far["a"] - 0.75 * sum(so_far.values())) < 60


def test_a_mix_may_change(library: Library) -> None:
    """A source that is due later gives nothing before, and one that is spent leaves the rest to the others."""
    made = source(library, stage(mix=[[0, {"a": 1}], [400, {"a": 1, "b": 3}]], batch=1))
    at, shares = 0, {}
    for step in made.steps(None, 0, 1, 2):
        shares[at] = by_source(drawn([step]))
        at += step.targets
    assert not any(found["b"] for at, found in shares.items() if at < 400 - 60)
    between = [found for at, found in shares.items() if 400 <= at < 900]
    assert abs(sum(found["b"] for found in between) / sum(map(sum, (found.values() for found in between))) - 0.75) < 0.2
    assert sum(found["b"] for found in shares.values()) == plan(library, stage(mix={"b": 1})).total_targets
    assert sum(found["a"] for found in shares.values()) == plan(library, stage()).total_targets


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"epochs": 2.5},
        {"mix": {"a": 3, "b": 1}, "epochs": None, "tokens": 1500, "max_epochs": 3, "batch": [[0, 2], [200, 6]]},
    ],
)
def test_a_summary_is_what_the_steps_come_to(library: Library, changes: dict[str, Any]) -> None:
    made = source(library, stage(**changes))
    steps = list(made.steps(None, 0, 1, 4))
    told = plan(library, stage(**changes)).summary()
    assert (told.steps, told.documents) == (len(steps), 2 * len(drawn(steps)))
    assert told.targets == sum(step.targets for step in steps)
    found = by_source(drawn(steps))
    assert {name: part.targets for name, part in told.sources.items()} == {name: found[name] for name in told.sources}
    assert told.sources["a"].available == source(library, stage()).total_targets
    account = made.account()
    assert (account.documents, account.targets, account.dropped) == (told.documents, told.targets, 0)
    assert {name: part.epochs for name, part in account.sources.items()} == {
        name: part.epochs for name, part in told.sources.items()
    }


def test_batch_and_length_follow_their_ramps(library: Library) -> None:
    made = source(library, stage(batch=[[0, 2], [200, 6]], seq_len=[[0, 32], [400, 64]]))
    at, left = 0, 50
    for step in made.steps(None, 0, 1, 2):
        assert step.seq_len == (64 if at >= 400 else 32)
        assert len(drawn([step])) == min(6 if at >= 200 else 2, left)
        at += step.targets
        left -= len(drawn([step]))
    assert left == 0


def test_shares_and_conditions(library: Library, pairs: list[Pair]) -> None:
    low = drawn(list(source(library, stage(), a=SourceSpec(kind="preference", share=(0, 0.2))).steps(None, 0, 1, 2)))
    high = drawn(list(source(library, stage(), a=SourceSpec(kind="preference", share=(0.2, 1))).steps(None, 0, 1, 2)))
    assert sorted(low + high) == sorted(pairs)
    assert 0 < len(low) < len(high)
    where = SourceSpec(kind="preference", where="id LIKE 'a-0-%'")
    assert sorted(drawn(list(source(library, stage(), a=where).steps(None, 0, 1, 2)))) == sorted(pairs[:25])


def test_passes_that_are_no_pair_are_refused(library: Library) -> None:
    with pytest.raises(TrainerError, match=r"stage 'dpo': 0\.001 epochs over the 50 pairs of source 'a' are none"):
        plan(library, stage(epochs=0.001))


def test_rows_are_packed(library: Library) -> None:
    """Far fewer rows than two a pair, and no row over its length."""
    steps = list(source(library, stage(batch=50)).steps(None, 0, 1, 2))
    assert len(steps) == 1
    assert steps[0].rows < 50
    positions = sum(int((batch.documents >= 0).sum()) for batch in steps[0].batches)
    assert positions / (steps[0].rows * 64) > 0.75


@pytest.mark.parametrize(
    ("changes", "sources", "words"),
    [
        ({"seq_len": 16}, {}, r"\d+ of the 50 pairs of source 'a' are longer than seq_len 16, the longest takes 28"),
        ({"seq_len": [[0, 64], [50, 16]]}, {}, "longer than seq_len 16"),
        ({}, {"a": SourceSpec()}, "source 'a' is of kind 'text', a dpo stage needs preference"),
        (
            {},
            {"a": SourceSpec(kind="preference", where="id = 'x'")},
            "source 'a' has no pairs .* under where \"id = 'x'\"",
        ),
        ({"epochs": None, "tokens": 99_000}, {}, r"stage 'dpo' wants 99,000 targets of source 'a'"),
    ],
)
def test_refused_before_the_first_step(
    library: Library, changes: dict[str, Any], sources: dict[str, SourceSpec], words: str
) -> None:
    with pytest.raises(TrainerError, match=words):
        source(library, stage(**changes), **sources)


def test_pairs_without_targets_are_counted_and_never_drawn(tmp_path: Path) -> None:
    ids = [np.array([number, 5, 6, 7]) for number in range(12)]
    for name, targetless in (("some", (0, 1, 6, 7)), ("all", range(12))):
        masks = [np.array([0, 0, *([0, 0] if number in targetless else [1, 1])], np.uint8) for number in range(12)]
        sealed.write(tmp_path / name, [ids], masks=[masks], kind="preference")
    library = Library([Segments.open(str(tmp_path / "some")), Segments.open(str(tmp_path / "all"))])
    made = PairPlan(stage(epochs=2), {"a": KIND}, 7, library, {"a": 0})
    told = made.summary()
    assert (told.documents, told.targetless, told.targets, made.window(0).counts.targetless) == (16, 4, 32, 4)
    taken = drawn(list(PlanSource(made, library, together=2).steps(None, 0, 1, 2)))
    assert Counter(pair[0][0] for pair in taken) == {2: 2, 4: 2, 8: 2, 10: 2}
    with pytest.raises(TrainerError, match=r"source 'a' has no pairs whose answers differ in '' under where ''"):
        PairPlan(stage(), {"a": KIND}, 7, library, {"a": 1})


def test_a_source_without_weight_is_not_asked_for(library: Library) -> None:
    made = PairPlan(stage(mix={"a": 1, "b": 0}), {"a": KIND, "b": SourceSpec()}, 7, library, {"a": 0})
    assert made.summary().documents == 100
    with pytest.raises(IndexError, match="is one window, there is none of number 1"):
        made.window(1)
