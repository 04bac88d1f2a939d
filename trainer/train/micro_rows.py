"""How many rows go through the model at once, by stage: the recipe's number, or as many as the device holds."""

import torch

from schemas.training import ModelSpec, StageSpec, TrainingSpec
from trainer.model import memory
from trainer.model.memory import Setting
from trainer.model.room import room
from trainer.model.shape import Shape
from trainer.plan.ramps import value_at
from trainer.train.ranks import Ranks


def micro_rows(model: ModelSpec, vocab_size: int, spec: TrainingSpec, ranks: Ranks) -> tuple[int, ...]:
    """For every stage, after it was seen that there is memory for it. To be asked before the model is on the device.

    Raises:
      TrainerError: Not even one row fits, or not as many as the recipe wants, or the host has no room for checkpoints.
    """
    shape, there = Shape.of(model, vocab_size), room(ranks.device)
    host = room(torch.device("cpu")) if ranks.device.type != "cpu" and ranks.first else None
    found = []
    for stage in spec.stages:
        setting = Setting(
            device=ranks.device.type,
            precision=spec.precision,
            optimizer=spec.optimizer.name,
            checkpoint_activations=spec.checkpoint_activations,
            body="flex" if spec.compile and ranks.device.type == "cuda" else "sdpa",
            average=stage.average,
            reference=stage.loss.name == "dpo",
        )
        longest = max(length for _, length in stage.seq_len)
        share = -(-rows_of(stage) // ranks.world)
        rows = min(spec.micro_rows or share, share)
        if spec.micro_rows is None:
            rows = memory.largest_micro_rows(shape, setting, there, seq_len=longest, at_most=share)
        memory.check(shape, setting, there, rows=rows, seq_len=longest, host=host)
        found.append(rows)
    return tuple(found)


def rows_of(stage: StageSpec) -> int:
    """Rows of the stage's widest step, of all ranks."""
    if stage.loss.name == "dpo":  # a batch counts pairs; at worst each takes two rows of its own
        return 2 * max(pairs for _, pairs in stage.batch)
    places = {at for at, _ in (*stage.seq_len, *stage.batch)}
    return max(value_at(stage.batch, at) // value_at(stage.seq_len, at) for at in places)
