"""The loop over toys: what is summed, resumed, guarded and told."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas.training import GuardSpec, OptimizerSpec
from tests.trainer.train.toys import LR, Killed, ListSource, Toy, kill_at, loss, rows, run, stop_at
from trainer.batch import Batch
from trainer.errors import TrainingFailedError
from trainer.optim.schedule import learning_rate
from trainer.train import checkpoint
from trainer.train.guards import Guards
from trainer.train.training import Facts, Training


def stages() -> list[ListSource]:
    return [ListSource(seed=1), ListSource(steps=9, rows=7, seed=2, seq_len=5)]


def same(one: Training, other: Training) -> None:
    """To the bit."""
    left, right = one.tensors(), other.tensors()
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []
    assert one.state() == other.state()


def bare(folder: Path) -> list[dict[str, Any]]:
    """Metrics but for who wrote them."""
    return [{**dataclasses.asdict(row), "started": 0} for row in rows(folder)]


def test_one_times_32_is_32_times_one(tmp_path: Path) -> None:
    found = {}
    for micro in (1, 5, 32):
        source = ListSource(steps=8, rows=32)
        training = run(tmp_path / str(micro), [source], model=Toy(torch.float64), micro_batch_size=micro)
        found[micro] = [row.loss for row in rows(tmp_path / str(micro))], training.model.state_dict()
    for micro in (1, 5):
        assert found[micro][0] == pytest.approx(found[32][0], rel=1e-12, abs=0)
        for name, weight in found[micro][1].items():
            torch.testing.assert_close(weight, found[32][1][name], rtol=0, atol=1e-12)


def test_a_step_is_the_formula(tmp_path: Path) -> None:
    """The mean over all targets, not a mean of means; clipped; AdamW at the middle of the step's targets."""
    source = ListSource(steps=1)
    training = Training(Toy(torch.float64), OptimizerSpec(clip=0.1))
    run(tmp_path, [source], training=training, micro_batch_size=1)
    twin = Toy(torch.float64)
    ids, weights = source.planned[0]
    scores = twin(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    mean = -(scores * weights).sum() / weights.sum()
    mean.backward()
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    targets = int(weights.sum())
    lr = learning_rate(LR, targets / 2, targets)
    decay = [p for p in twin.parameters() if p.ndim > 1], [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": group, "weight_decay": share} for group, share in zip(decay, (0.1, 0.0), strict=True)]
    torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95)).step()
    (row,) = rows(tmp_path)
    assert norm > 0.1
    assert (row.step, row.stage, row.tokens, row.seq_len, row.started) == (1, "s0", targets, 8, 1)
    assert (row.loss, row.lr) == (pytest.approx(mean.item(), rel=1e-14), lr)
    for found, expected in zip(training.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)  # clip_grad_norm_ adds 1e-6 to the norm


def test_metrics_count_over_stages(tmp_path: Path) -> None:
    sources = stages()
    run(tmp_path, sources)
    found = rows(tmp_path)
    assert [row.step for row in found] == list(range(1, 22))
    assert [row.stage for row in found] == ["s0"] * 12 + ["s1"] * 9
    assert [row.seq_len for row in found] == [8] * 12 + [5] * 9
    counts = [int(weights.sum()) for source in sources for _, weights in source.planned]
    assert [row.tokens for row in found] == [sum(counts[: n + 1]) for n in range(21)]
    places = [sum(counts[:n]) + counts[n] / 2 for n in range(12)]
    assert [row.lr for row in found[:12]] == [learning_rate(LR, at, sum(counts[:12])) for at in places]
    assert found[11].loss < found[0].loss
    first = (tmp_path / "metrics.jsonl").read_text().splitlines()[0]
    assert list(json.loads(first)) == ["step", "stage", "tokens", "seq_len", "lr", "loss", "started"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("at", [2, 5, 12, 13, 20])
def test_stopped_and_gone_on_with_is_unbroken(tmp_path: Path, optimizer: str, at: int) -> None:
    options = {"optimizer": optimizer, "average": True, "reference": True, "every": 60}
    whole = run(tmp_path / "whole", stages(), **options)
    run(tmp_path / "cut", stages(), **options, at_step=stop_at(at - 1))  # seen in the step behind it
    assert len(rows(tmp_path / "cut")) == at
    resumed = run(tmp_path / "cut", stages(), **options, model=Toy(seed=9))
    same(whole, resumed)
    assert bare(tmp_path / "cut") == bare(tmp_path / "whole")
    assert [row.started for row in rows(tmp_path / "cut")] == [1] * at + [at + 1] * (21 - at)


def test_killed_at_any_step_is_unbroken(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", stages(), average=True, every=60)
    for at in (1, 4, 9, 14, 17, 20, 21):  # each goes on from what the one before left
        with pytest.raises(Killed):
            run(
                tmp_path / "cut",
                stages(),
                average=True,
                every=60,
                model=Toy(seed=at if at > 9 else 0),
                at_step=kill_at(at),
            )
        with (tmp_path / "cut" / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 22, "st')
    resumed = run(tmp_path / "cut", stages(), average=True, every=60, model=Toy(seed=9))
    same(whole, resumed)
    assert bare(tmp_path / "cut") == bare(tmp_path / "whole")
    assert len({row.started for row in rows(tmp_path / "cut")}) > 3


def test_the_end_is_the_end(tmp_path: Path) -> None:
    whole = run(tmp_path, stages())
    before = (tmp_path / "metrics.jsonl").read_bytes()
    same(whole, run(tmp_path, stages(), model=Toy(seed=3)))
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_an_average_of_no_step_is_not_kept(tmp_path: Path) -> None:
    """Stopped while the first steps are passed over, a stage has the weights that it began with."""

    def nothing(model: Toy, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        total, count = loss(model, batch)
        return total * math.nan, count

    stopped = run(tmp_path, [ListSource()], loss=nothing, average=True, at_step=stop_at(1))
    found = checkpoint.latest(tmp_path / "checkpoints", pytest.fail)
    assert found is not None
    assert found.state["average"] == 0
    weights = found.weights(average=True)
    assert all(torch.equal(weights[name], tensor) for name, tensor in stopped.model.state_dict().items())
    resumed = run(tmp_path, [ListSource()], average=True)
    assert resumed.average is not None
    assert resumed.average.steps == 12 - found.step


def test_average_and_reference_live_as_long_as_the_stage(tmp_path: Path) -> None:
    start = Toy().state_dict()
    first = run(tmp_path / "a", [ListSource()], average=True, reference=True)
    assert first.average is not None
    assert first.average.steps == 12
    assert first.reference is not None
    for name, weight in first.reference.state_dict().items():
        assert torch.equal(weight, start[name])
        assert not torch.equal(weight, first.model.state_dict()[name])
    assert [parameter.requires_grad for parameter in first.reference.parameters()] == [False] * 6
    first.begin_stage(1, reset=False, average=False, reference=False)
    assert (first.average, first.reference) == (None, None)


def test_optimizer_is_kept_or_reset() -> None:
    training = Training(Toy(), OptimizerSpec())
    moments = training.optimizer.tensors()["exp_avg/head.weight"]
    moments.fill_(3)
    training.begin_stage(0, reset=False, average=False, reference=False)
    assert moments.eq(3).all()
    training.begin_stage(1, reset=True, average=False, reference=False)
    assert moments.eq(0).all()


def poisoned(model: nn.Module, batch: Batch, bad: set[str]) -> tuple[Tensor, Tensor]:
    """Not finite for batches that begin with certain tokens."""
    total, count = loss(model, batch)
    return total * (math.nan if str(batch.tokens[0].tolist()) in bad else 1.0), count


def first_tokens(source: ListSource, step: int, row: int) -> str:
    return str(source.planned[step][0][row, :-1].tolist())


def test_a_loss_that_is_not_finite_moves_nothing(tmp_path: Path) -> None:
    source = ListSource()
    bad = {first_tokens(source, 4, 2)}
    before: dict[str, Tensor] = {}
    seen: list[bool] = []
    training = Training(Toy(), OptimizerSpec())

    def look(step: int) -> None:
        now = {name: tensor.clone() for name, tensor in training.tensors().items()}
        seen.append(all(torch.equal(now[name], tensor) for name, tensor in before.items()))
        before.update(now)

    run(tmp_path, [source], loss=partial(poisoned, bad=bad), training=training, at_step=look, micro_batch_size=2)
    assert [step for step, still in enumerate(seen, 1) if still] == [1, 5]
    assert [row.loss is None for row in rows(tmp_path)] == [False] * 4 + [True] + [False] * 7
    (decision,) = training.guards.decisions
    assert (decision.step, decision.reason, decision.applied) == (5, "loss_not_finite", False)


def test_steps_without_a_target_move_nothing(tmp_path: Path) -> None:
    """More of them in a row than the guards allow of what is not finite; killed among them, the run goes on alike."""
    source = ListSource(steps=14)
    for _, weights in source.planned[4:10]:
        weights.zero_()
    seen: list[bool] = []
    training = Training(Toy(), OptimizerSpec(), guards=Guards(GuardSpec(max_skips=1)))
    before: dict[str, Tensor] = {}

    def look(_: int) -> None:
        now = {name: tensor.clone() for name, tensor in training.tensors().items()}
        seen.append(bool(before) and all(torch.equal(tensor, before[name]) for name, tensor in now.items()))
        before.update(now)

    run(tmp_path / "whole", [source], training=training, at_step=look, average=True)
    assert [step for step, still in enumerate(seen, 1) if still] == [5, 6, 7, 8, 9, 10]
    assert [row.loss is None for row in rows(tmp_path / "whole")] == [False] * 4 + [True] * 6 + [False] * 4
    assert training.guards.decisions == []
    with pytest.raises(Killed):
        run(tmp_path / "cut", [source], at_step=kill_at(7), average=True, every=20)
    same(training, run(tmp_path / "cut", [source], average=True, every=20))


def test_gradient_alone_not_finite(tmp_path: Path) -> None:
    class Rooted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * math.inf

    def bad(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = loss(model, batch)
        return Rooted.apply(total), count

    with pytest.raises(TrainingFailedError, match=r"gradient_not_finite in 4 steps in a row.*all 6 rows of the step"):
        run(tmp_path, [ListSource()], loss=bad)
    assert [row.loss is None for row in rows(tmp_path)] == [False] * 4
    assert not (tmp_path / "checkpoints").exists()


def test_losses_without_end_name_step_rows_and_checkpoint(tmp_path: Path) -> None:
    source = ListSource()
    bad = {first_tokens(source, step, 4) for step in (6, 7, 8)}
    training = Training(Toy(), OptimizerSpec(), guards=Guards(GuardSpec(max_skips=2)))
    with pytest.raises(TrainingFailedError) as caught:
        run(tmp_path, [source], loss=partial(poisoned, bad=bad), training=training, every=60)
    words = str(caught.value)
    last = sorted((tmp_path / "checkpoints").iterdir())[-1]
    assert "stage 's0', step 9: loss_not_finite in 3 steps in a row" in words
    assert "rows [4, 5] of the step's 6, behind which the source is at {'steps': 9}" in words
    assert f"the same command goes on from the last good checkpoint, {last};" in words
    assert [row.loss is None for row in rows(tmp_path)] == [False] * 6 + [True] * 3


def test_decisions_are_replayed(tmp_path: Path) -> None:
    sources = [ListSource(steps=40, rows=4)]
    bad = {first_tokens(sources[0], step, 0) for step in (5, 30)}
    spiky = {first_tokens(sources[0], 36, 0)}

    def strange(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = poisoned(model, batch, bad)
        return total * (1000.0 if str(batch.tokens[0].tolist()) in spiky else 1.0), count

    policy = GuardSpec(window=16)

    def go(name: str, **options: Any) -> Training:
        fresh = Training(Toy(seed=options.pop("seed", 0)), OptimizerSpec(), guards=Guards(policy))
        return run(tmp_path / name, sources, loss=strange, training=fresh, **options)

    whole = go("whole")
    skipped = [decision for decision in whole.guards.decisions if not decision.applied]
    assert [(decision.step, decision.reason) for decision in skipped] == [
        (6, "loss_not_finite"),
        (31, "loss_not_finite"),
        (37, "loss_spike"),
    ]
    go("cut", at_step=stop_at(33))
    same(whole, go("cut", seed=5))
    assert bare(tmp_path / "cut") == bare(tmp_path / "whole")


def test_a_source_that_breaks_its_plan(tmp_path: Path) -> None:
    source = ListSource()
    planned = source.steps

    def short(*arguments: Any) -> Any:
        for step in planned(*arguments):
            yield dataclasses.replace(step, targets=step.targets + (step.index == 3))

    source.steps = short  # type: ignore[method-assign]
    with pytest.raises(TrainingFailedError, match=r"'s0', step 4: the plan says \d+ targets, the batches of all ranks"):
        run(tmp_path, [source], every=10)
    assert [row.step for row in rows(tmp_path)] == [1, 2, 3]


def test_facts_come_back(tmp_path: Path) -> None:
    training = Training(Toy(), OptimizerSpec())
    training.facts.gates["s0"] = {"passed": False}
    run(tmp_path, [ListSource()], training=training, at_step=stop_at(3))
    other = Training(Toy(), OptimizerSpec())
    run(tmp_path, [ListSource()], training=other)
    assert other.facts == Facts(gates={"s0": {"passed": False}})
