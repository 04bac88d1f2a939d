"""Several ranks under torchrun train what one trains."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.training import OptimizerSpec
from tests.trainer.train.toys import ListSource, Toy, rows, run
from trainer.errors import TrainerError
from trainer.train.ranks import joined
from trainer.train.training import Training

ROOT = Path(__file__).parents[3]


def stages() -> list[ListSource]:
    return [ListSource(seed=1), ListSource(steps=9, rows=7, seed=2, seq_len=5)]


def torchrun(*groups: tuple[int, tuple[Any, ...]]) -> None:
    """Starts groups of ranks on this machine one after the other; a group's ranks train scenario after scenario.

    Args:
      groups: (ranks, scenarios), a scenario being (folder, dtype, micro_batch_size, stop, lr, optimizer).
    """
    command = [sys.executable, "-m", "tests.trainer.train.ranks_script", json.dumps(groups, default=str)]
    before = filter(None, [os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *before]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs: one, two and three ranks, whole and in pieces."""
    top = tmp_path_factory.mktemp("ranks")
    run(top / "one", stages(), model=Toy(torch.float64), average=True, every=60)
    two = (
        (top / "two", "float64", 3, 0),
        (top / "muon-two", "float64", 3, 0, 0, "muon"),
        (top / "changed", "float64", 2, 5),
        (top / "whole", "float32", 2, 0),
        (top / "cut", "float32", 2, 8),
        (top / "cut", "float32", 2, 0),
        (top / "ruined", "float32", 2, 8),
        (top / "ruined", "float32", 2, 0, 1e30),
    )
    three = (
        (top / "three", "float64", 1, 0),
        (top / "muon-three", "float64", 1, 0, 0, "muon"),
        (top / "changed", "float64", 2, 14),
    )
    torchrun((2, two), (3, three))
    return top


def tensors(folder: Path, world: int) -> dict[str, Any]:
    """What the ranks ended with."""
    found = json.loads((folder / f"out-{world}.json").read_text())
    assert found["world"] == world
    assert found["alike"], "ranks have come apart"
    weights: dict[str, Any] = found["tensors"]
    return weights


def close(found: dict[str, Any], training: Training) -> None:
    for name, tensor in training.tensors().items():
        torch.testing.assert_close(torch.tensor(found[name], dtype=tensor.dtype), tensor, rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def alone(trained: Path) -> Training:
    """What one rank ended with."""
    return run(trained / "one", stages(), model=Toy(torch.float64), average=True, every=60)


def test_many_fail_alike(trained: Path) -> None:
    found = json.loads((trained / "ruined" / "out-2.json").read_text())
    good = trained / "ruined" / "checkpoints" / "step-000008"
    assert found["alike"]
    assert "step 11: loss_not_finite in 2 steps in a row" in found["failed"]
    assert f"the same command goes on from the last good checkpoint, {good};" in found["failed"]
    assert max((trained / "ruined" / "checkpoints").iterdir()) == good
    assert [row.loss is None for row in rows(trained / "ruined")] == [False] * 9 + [True] * 2


@pytest.mark.parametrize(("name", "world"), [("two", 2), ("three", 3)])
def test_many_are_one(trained: Path, alone: Training, name: str, world: int) -> None:
    """Losses to 1e-12 in float64, with short ranks filled up (7 rows) and whatever the micro-batch."""
    one, many = rows(trained / "one"), rows(trained / name)
    assert [row.loss for row in many] == pytest.approx([row.loss for row in one], rel=1e-12, abs=0)
    assert [(row.step, row.tokens, row.lr) for row in many] == [(row.step, row.tokens, row.lr) for row in one]
    close(tensors(trained / name, world), alone)


def test_muon_of_many_is_that_of_one(trained: Path, tmp_path: Path) -> None:
    """Two matrices: with two ranks each works one out, of three one has none."""
    alone = run(tmp_path, stages(), training=Training(Toy(torch.float64), OptimizerSpec(name="muon")), average=True)
    for world, name in ((2, "muon-two"), (3, "muon-three")):
        assert [row.loss for row in rows(trained / name)] == pytest.approx(
            [row.loss for row in rows(tmp_path)], rel=1e-11, abs=0
        )
        close(tensors(trained / name, world), alone)


def test_gone_on_with_by_other_ranks(trained: Path, alone: Training) -> None:
    """Two ranks, then three, then one."""
    tensors(trained / "changed", 2)
    tensors(trained / "changed", 3)
    training = run(trained / "changed", stages(), model=Toy(torch.float64), average=True, every=60)
    one, many = rows(trained / "one"), rows(trained / "changed")
    assert [row.loss for row in many] == pytest.approx([row.loss for row in one], rel=1e-11, abs=0)
    assert [row.started for row in many] == [1] * 5 + [6] * 9 + [15] * 7
    close({name: tensor.tolist() for name, tensor in training.tensors().items()}, alone)


def test_resumed_to_the_bit_on_the_same_ranks(trained: Path) -> None:
    assert tensors(trained / "cut", 2) == tensors(trained / "whole", 2)
    whole, cut = rows(trained / "whole"), rows(trained / "cut")
    assert [row.loss for row in cut] == [row.loss for row in whole]
    assert [row.started for row in cut] == [1] * 8 + [9] * 13


def test_one_alone_needs_no_group() -> None:
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.world, ranks.first, ranks.device) == (0, 1, True, torch.device("cpu"))
        tensor = torch.ones(3)
        ranks.all_reduce(tensor)
        ranks.broadcast(tensor)
        assert tensor.tolist() == [1, 1, 1]
        assert (ranks.max([1.0, 2.0]), ranks.all_gather("a"), ranks.broadcast_object("b")) == ([1.0, 2.0], ["a"], "b")
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99", "meta"])
def test_devices_that_are_none(name: str) -> None:
    with pytest.raises(TrainerError, match=name), joined(name):
        pass
