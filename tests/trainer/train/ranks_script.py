"""Run by torchrun in test_ranks.py: trains the toy on all ranks; the first one writes what came out."""

import json
import sys
from pathlib import Path
from typing import Literal

import torch

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
    micro_rows: int,
    stop: int,
    lr: float = 0,
    optimizer: Literal["adamw", "muon"] = "adamw",
) -> None:
    """Two stages, or up to a step, or until they fail; at a learning rate of their own."""
    model = Toy(getattr(torch, dtype), seed=ranks.rank)  # the first rank's weights count
    training = Training(model, OptimizerSpec(name=optimizer), guards=Guards(GuardSpec(max_skips=1)))
    stages = [ListSource(seed=1), ListSource(steps=9, rows=7, seed=2, seq_len=5)]
    options = {"micro_rows": micro_rows, "average": True, "every": 60, "at_step": stop_at(stop - 1)}
    failed = ""
    try:
        run(Path(folder), stages, training=training, ranks=ranks, lr=rate(lr) if lr else LR, **options)
    except TrainingFailedError as error:
        failed = str(error)
    mine = {name: tensor.double().sum().item() for name, tensor in training.tensors().items()}
    everyone = ranks.gather((mine, training.state(), failed))
    if ranks.first:
        alike = all(one == everyone[0] for one in everyone)
        weights = {name: tensor.tolist() for name, tensor in training.tensors().items()}
        out = {"alike": alike, "tensors": weights, "world": ranks.world, "failed": failed}
        (Path(folder) / f"out-{ranks.world}.json").write_text(json.dumps(out))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as ranks:
        for scenario in json.loads(sys.argv[1]):
            train(ranks, *scenario)
