"""Ruined weights: none are kept, what is kept is good, and the run goes on from it."""

import json
import math
from pathlib import Path

import pytest
import torch

from tests.trainer.nano import Made, changed, spec
from tests.trainer.train.toys import Killed, ListSource, Toy, kill_at, loss, rate, rows, run, stop_at
from trainer.batch import Batch
from trainer.errors import TrainingFailedError
from trainer.losses.next_token import next_token
from trainer.train import checkpoint
from trainer.train.guards import not_finite
from trainer.trained import open_trained

RUINS = {
    "weights_too_large": (
        1e30,
        12,
        r"step 12: loss_not_finite in 4 steps in a row, .* in rows \[0, 1, 2, 3, 4, 5\]",
    ),
    "weights_not_finite": (1e39, 8, r"step 8: \d+ tensors are not finite, 'model/.*' the first of them"),
}


@pytest.fixture
def fresh(tiny: Made, tmp_path: Path) -> Made:
    """A finished run's data and an output that is not there yet."""
    return Made(tmp_path / "out", tiny.data, tiny.segments)


def batch() -> Batch:
    """Three rows of one document each."""
    ids = torch.randint(300, (3, 17), generator=torch.Generator().manual_seed(0))
    documents = torch.zeros(3, 16, dtype=torch.int32)
    return Batch(ids[:, :-1], ids[:, 1:], torch.ones(3, 16), documents, torch.arange(16).expand(3, 16), 1)


def steps(folder: Path) -> list[int]:
    """Whose checkpoints stand."""
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("case", RUINS)
def test_what_ruined_weights_made_is_gone(tmp_path: Path, case: str) -> None:
    """The step that ruins them has a finite loss, and a checkpoint is due behind it."""
    lr, last, words = RUINS[case]
    whole = run(tmp_path / "whole", [ListSource()], every=10)
    run(tmp_path / "run", [ListSource()], every=10, at_step=stop_at(6))
    good = tmp_path / "run" / "checkpoints" / "step-000007"
    for _ in range(2):  # the same again ends alike
        with pytest.raises(TrainingFailedError, match=words) as caught:
            run(tmp_path / "run", [ListSource()], every=10, lr=rate(lr))
        assert f"the same command goes on from the last good checkpoint, {good};" in str(caught.value)
        assert f"a lower stages.s0.lr.from, now {lr:g}, or of a lower optimizer.clip, now 1" in str(caught.value)
        assert [row.loss is None for row in rows(tmp_path / "run")] == [False] * 8 + [True] * (last - 8)
        assert max(steps(tmp_path / "run")) == 7
    resumed = run(tmp_path / "run", [ListSource()], every=10, model=Toy(seed=3))
    assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in whole.tensors().items())
    assert resumed.guards.decisions == []


def test_a_checkpoint_is_put_off_while_steps_are_not_finite(tmp_path: Path) -> None:
    source = ListSource()  # with every=60 they are due behind 5, 8, 10, 11 and 12

    def poisoned(model: Toy, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        total, count = loss(model, batch)
        return total * (math.nan if torch.equal(batch.tokens[0], source.planned[7][0][0, :-1]) else 1), count

    with pytest.raises(Killed):
        run(tmp_path, [source], loss=poisoned, every=60, at_step=kill_at(10))
    assert steps(tmp_path) == [5, 9]


def test_the_first_steps_may_ruin_them(fresh: Made) -> None:
    """Then nothing is kept, and the same command begins anew."""
    one = changed(spec(checkpoint_every=0.001), 0, lr={"from": 1e9})
    with pytest.raises(
        TrainingFailedError, match=r"stage 'first', step 5: \w+_not_finite in 4 steps.*begins anew: no good checkpoint"
    ):
        fresh.go(one)
    assert json.loads((fresh.output / "run.json").read_bytes())["begun"] is True
    assert [row["step"] for row in fresh.rows] == [1, 2, 3, 4, 5]
    assert steps(fresh.output) == []


def test_what_stands_has_a_finite_loss(fresh: Made) -> None:
    """And is gone on from as it advises: at a lower learning rate."""
    one = changed(spec(checkpoint_every=0.001), 1, lr={"from": 1e9})
    with pytest.raises(TrainingFailedError, match=r"stage 'second', step (\d+): .*, now 1e\+09, or of"):
        fresh.go(one)
    first = sum(row["stage"] == "first" for row in fresh.rows)
    assert [row["step"] for row in fresh.rows] == list(range(1, first + 6))
    assert steps(fresh.output) == [first - 1, first]
    for path in (fresh.output / "checkpoints").iterdir():
        found = checkpoint.opened(path)
        assert not_finite({**found.read("model"), **found.read("optimizer")}) == []
        decoder = open_trained(path).decoder
        total, count = next_token(decoder, batch())
        gradients = torch.autograd.grad(total, list(decoder.parameters()))
        assert 4 < total.item() / count.item() < 7
        assert not_finite({str(number): gradient for number, gradient in enumerate(gradients)}) == []
    assert fresh.go(changed(one, 1, lr={"from": 0.005})) is True
    assert [row["started"] for row in fresh.rows] == [1] * first + [first + 1] * (len(fresh.rows) - first)
    assert [row["step"] for row in fresh.rows if row["loss"] is None] == []
    assert fresh.summary["decisions"] == []
