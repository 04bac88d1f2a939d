"""Run by test_ranks.py: trains the toy on ranks of several numbers; the first one writes what came out.

The ranks are started by torchrun's own launcher, but forked from this process, which has imported torch for all.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any, Literal

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from schemas.training import GuardSpec, OptimizerSpec
from tests.trainer.train.toys import LR, ListSource, Toy, rate, run, stop_at
from trainer.errors import TrainingFailedError
from trainer.train.guards import Guards
from trainer.train.ranks import Ranks, joined
from trainer.train.training import Training


def train(
    ranks: Ranks,
    folder: str,
    dtype: str,
    micro_batch_size: int,
    stop: int,
    lr: float = 0,
    optimizer: Literal["adamw", "muon"] = "adamw",
) -> None:
    """Two stages, or up to a step, or until they fail; at a learning rate of their own."""
    model = Toy(getattr(torch, dtype), seed=ranks.rank)  # the first rank's weights count
    training = Training(model, OptimizerSpec(name=optimizer), guards=Guards(GuardSpec(max_skips=1)))
    stages = [ListSource(seed=1), ListSource(steps=9, rows=7, seed=2, seq_len=5)]
    options = {"micro_batch_size": micro_batch_size, "average": True, "every": 60, "at_step": stop_at(stop - 1)}
    failed = ""
    try:
        run(Path(folder), stages, training=training, ranks=ranks, lr=rate(lr) if lr else LR, **options)
    except TrainingFailedError as error:
        failed = str(error)
    mine = {name: tensor.double().sum().item() for name, tensor in training.tensors().items()}
    everyone = ranks.all_gather((mine, training.state(), failed))
    if ranks.first:
        alike = all(one == everyone[0] for one in everyone)
        weights = {name: tensor.tolist() for name, tensor in training.tensors().items()}
        out = {"alike": alike, "tensors": weights, "world": ranks.world, "failed": failed}
        (Path(folder) / f"out-{ranks.world}.json").write_text(json.dumps(out))


def train_all(scenarios: list[list[Any]]) -> None:
    """What one rank does: one scenario after the other."""
    torch.set_num_threads(1)
    with joined("cpu") as ranks:
        for scenario in scenarios:
            train(ranks, *scenario)


def launch(world: int, scenarios: list[list[Any]]) -> None:
    """As `torchrun --standalone --nproc-per-node=WORLD`."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=world,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    elastic_launch(config, train_all)(scenarios)


if __name__ == "__main__":
    for group in json.loads(sys.argv[1]):
        launch(*group)
