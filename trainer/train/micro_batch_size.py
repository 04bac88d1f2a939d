"""How many rows go through the model at once, by stage: the recipe's number, or as many as the device holds."""

import torch

from schemas.training import ModelSpec, StageSpec, TrainingSpec
from trainer.model import memory
from trainer.model.memory import Setting
from trainer.model.room import Room, room
from trainer.model.shape import Shape
from trainer.plan.ramps import value_at
from trainer.train.ranks import Ranks


def micro_batch_size(model: ModelSpec, vocab_size: int, spec: TrainingSpec, ranks: Ranks) -> tuple[int, ...]:
    """For every stage, after it was seen that there is memory for it. To be asked before the model is on the device.

    Raises:
      TrainerError: Not even one row fits, or not as many as the recipe wants, or the host has no room for checkpoints.
    """
    shape, there = Shape.of(model, vocab_size), room(ranks.device)
    host = room(torch.device("cpu")) if ranks.device.type != "cpu" and ranks.first else None
    found = []
    for stage in spec.stages:
        own, longest = setting(spec, stage, ranks.device.type), longest_row(stage)
        rows = fitting(shape, spec, stage, there, own, ranks.world)
        memory.check(shape, own, there, rows=rows, seq_len=longest, host=host)
        found.append(rows)
    return tuple(found)


def fitting(shape: Shape, spec: TrainingSpec, stage: StageSpec, there: Room, own: Setting, world: int) -> int:
    """Rows at once of one stage on a device: whole groups of rows that stay together.

    Raises:
      TrainerError: Not even one row fits, where the recipe leaves it open.
    """
    group = together(stage)
    share = -(-rows_of(stage) // (world * group)) * group
    rows = min(spec.micro_batch_size or share, share)
    if spec.micro_batch_size is None:
        rows = memory.largest_micro_batch_size(shape, own, there, seq_len=longest_row(stage), at_most=share)
    return max(rows - rows % group, group)


def setting(spec: TrainingSpec, stage: StageSpec, device: str) -> Setting:
    """What decides about the stage's memory on a type of device."""
    return Setting(
        device=device,
        precision=spec.precision,
        optimizer=spec.optimizer.name,
        checkpoint_activations=spec.checkpoint_activations,
        body="flex" if spec.compile and device == "cuda" else "sdpa",
        average=stage.average,
        reference=stage.loss.name == "dpo",
    )


def together(stage: StageSpec) -> int:
    """Rows that go through the model of one rank together: a bin of preference pairs has one of each answer."""
    return 2 if stage.loss.name == "dpo" else 1


def longest_row(stage: StageSpec) -> int:
    """Positions."""
    return max(length for _, length in stage.seq_len)


def rows_of(stage: StageSpec) -> int:
    """Rows of the stage's widest step, of all ranks."""
    if stage.loss.name == "dpo":  # a batch counts pairs; at worst each takes two rows of its own
        return 2 * max(pairs for _, pairs in stage.batch)
    places = {at for at, _ in (*stage.seq_len, *stage.batch)}
    return max(value_at(stage.batch, at) // value_at(stage.seq_len, at) for at in places)
