"""A model, a source and a run small enough to be followed by eye, true to the contracts of the real ones."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from schemas.training import LrSpec, OptimizerSpec
from trainer.batch import Batch, Step
from trainer.train import checkpoint
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import METRICS, TIMING, JsonLines, Row
from trainer.train.ranks import Ranks
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter

VOCABULARY = 13
ONE = Ranks(0, 1, torch.device("cpu"))
LR = LrSpec.model_validate({"shape": "cosine", "from": 0.02, "to": 0.0, "warmup": 200})


class Toy(nn.Module):
    """Predicts a token from the one before."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, VOCABULARY, bias=False)
        self.to(dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.head(x)


def loss(model: Toy, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy."""
    scores = model(batch.tokens).log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    return -(scores * batch.weights).sum(), batch.weights.sum()


class ListSource:
    """Rows drawn from a seed, of lengths and masks that vary; `rows` of them a step."""

    def __init__(self, steps: int = 12, rows: int = 6, seed: int = 0, seq_len: int = 8) -> None:
        self.planned: list[tuple[Tensor, Tensor]] = []
        generator = torch.Generator().manual_seed(seed)
        for number in range(steps):
            ids = torch.randint(VOCABULARY, (rows, seq_len + 1), generator=generator)
            weights = (torch.rand(rows, seq_len, generator=generator) < (number + 1) / (steps + 1)).float()
            weights[0, 0] = 1
            self.planned.append((ids, weights))

    @property
    def total_targets(self) -> int:
        return int(sum(weights.sum() for _, weights in self.planned))

    def steps(self, state: Mapping[str, Any] | None, rank: int, world: int, micro_batch_size: int) -> Iterator[Step]:
        for index in range(state["steps"] if state else 0, len(self.planned)):
            ids, weights = self.planned[index]
            rows, seq_len = weights.shape
            share = math.ceil(math.ceil(rows / world) / micro_batch_size) * micro_batch_size
            mine, wanted = torch.zeros(share, seq_len + 1, dtype=torch.int64), torch.zeros(share, seq_len)
            documents = torch.full((share, seq_len), -1, dtype=torch.int32)
            count = len(range(rank, rows, world))
            mine[:count], wanted[:count], documents[:count] = ids[rank::world], weights[rank::world], 0
            positions = torch.arange(seq_len).expand(share, seq_len)
            fields = (mine[:, :-1], mine[:, 1:], wanted, documents, positions)
            parts = zip(*(field.split(micro_batch_size) for field in fields), strict=True)
            batches = tuple(Batch(*part, pieces=1) for part in parts)
            yield Step(index, seq_len, rows, int(weights.sum()), batches, {"steps": index + 1})


class Killed(Exception):  # noqa: N818 (it says what is the case)
    """Stands for a process that ends between two steps."""


def run(
    folder: Path,
    stages: list[ListSource],
    *,
    model: nn.Module | None = None,
    loss: Callable[..., tuple[Tensor, Tensor]] = loss,
    ranks: Ranks = ONE,
    micro_batch_size: int = 2,
    optimizer: str = "adamw",
    average: bool = False,
    reference: bool = False,
    every: int = 100,
    at_step: Callable[[int], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
    training: Training | None = None,
    lr: LrSpec = LR,
) -> Training:
    """Trains a toy from where `folder` stands, as the command does; stops where it is told to."""
    training = training or Training(model or Toy(), OptimizerSpec(name=optimizer))
    found = checkpoint.latest(folder / "checkpoints", note) if ranks.first else None
    found = ranks.broadcast_object(found)
    if found:
        training.restore(found, ranks)
    else:
        training.broadcast(ranks)
    done = training.progress.step
    with ExitStack() as stack:
        enter = stack.enter_context
        loop = Loop(
            training=training,
            ranks=ranks,
            clock=Clock(ranks, enter(JsonLines(folder / TIMING, done)) if ranks.first else None),
            metrics=enter(JsonLines(folder / METRICS, done)) if ranks.first else None,
            writer=enter(CheckpointWriter(folder / "checkpoints", 2, note, found and found.path))
            if ranks.first
            else None,
            stop=enter(Stop()),
            checkpoint_every=every,
            tell=lambda row: at_step(row.step),
        )
        for number, source in enumerate(stages):
            if number < training.progress.stage:
                continue
            if number > training.progress.stage:
                training.begin_stage(number, reset=number == 1, average=average, reference=reference)
            bound = partial(loss, training.model)
            if not loop.train(
                Stage(name=f"s{number}", source=source, loss=bound, lr=lr, micro_batch_size=micro_batch_size)
            ):
                break
    return training


def rows(folder: Path) -> list[Row]:
    """metrics.jsonl."""
    return [Row(**json.loads(line)) for line in (folder / METRICS).read_text().splitlines()]


def rate(start: float) -> LrSpec:
    """A constant learning rate."""
    return LrSpec.model_validate({"from": start})


def stop_at(step: int) -> Callable[[int], None]:
    """Sends what Ctrl-C sends, after a step."""

    return lambda now: os.kill(os.getpid(), signal.SIGINT) if now == step else None


def kill_at(step: int) -> Callable[[int], None]:
    """Ends the run without a word after a step."""

    def kill(now: int) -> None:
        if now == step:
            raise Killed

    return kill
