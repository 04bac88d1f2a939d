"""The loop over the real decoder and real preference pairs: fine-tuning, then DPO."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from schemas.training import LossSpec, OptimizerSpec, SourceSpec, StageSpec
from tests.trainer.losses.batches import decoder
from tests.trainer.plan.test_pairs import make
from tests.trainer.train.toys import LR, ONE, rows, stop_at
from trainer.batch import Batch
from trainer.loader import PlanSource
from trainer.losses.dpo import dpo
from trainer.losses.next_token import next_token
from trainer.plan.pairs import PairPlan
from trainer.segments.library import Library
from trainer.segments.read import Segments
from trainer.train import checkpoint
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import METRICS, JsonLines
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter

LOSS = LossSpec(name="dpo", beta=0.3, nll=0.2)


def small(batch: Batch) -> Batch:
    """Ids within the small vocabulary."""
    return replace(batch, tokens=batch.tokens % 50, targets=batch.targets % 50)


def train(folder: Path, library: Library, seed: int, at_step: Callable[[int], None] = lambda _: None) -> Training:
    training = Training(decoder(seed, torch.float32), OptimizerSpec(name="muon"))
    found = checkpoint.latest(folder / "checkpoints", lambda _: None)
    if found:
        training.restore(found, ONE)
    with ExitStack() as stack:
        enter = stack.enter_context
        loop = Loop(
            training=training,
            ranks=ONE,
            clock=Clock(ONE, None),
            metrics=enter(JsonLines(folder / METRICS, training.progress.step)),
            writer=enter(CheckpointWriter(folder / "checkpoints", 2, lambda _: None)),
            stop=enter(Stop()),
            checkpoint_every=10**9,
            tell=lambda row: at_step(row.step),
        )
        for number, name in enumerate(("sft", "dpo")):
            if number < training.progress.stage:
                continue
            if number > training.progress.stage:
                training.begin_stage(number, reset=True, average=name == "dpo", reference=name == "dpo")

            def loss(batch: Batch, name: str = name) -> tuple[torch.Tensor, torch.Tensor]:
                if name == "sft":
                    return next_token(training.model, small(batch))
                return dpo(training.model, training.reference, small(batch), LOSS)

            fields = {"name": name, "mix": {"a": 1}, "epochs": 1, "seq_len": 64, "batch": 8, "lr": {"from": 1e-3}}
            fields["loss"] = {"name": "dpo"}  # by which a batch counts pairs
            kind = {"a": SourceSpec(kind="preference")}
            plan = PairPlan(StageSpec.model_validate(fields), kind, 7, library, {"a": 0})
            source = PlanSource(plan, library, together=2)
            if not loop.train(Stage(name=name, source=source, loss=loss, lr=LR, micro_batch_size=4, together=2)):
                break
    return training


def test_stopped_within_dpo_and_gone_on_with(tmp_path: Path) -> None:
    make(tmp_path / "a", 40, 1)
    library = Library([Segments.open(str(tmp_path / "a"))])
    whole = train(tmp_path / "whole", library, 1)
    train(tmp_path / "cut", library, 1, stop_at(6))
    assert len(rows(tmp_path / "cut")) == 7
    resumed = train(tmp_path / "cut", library, 3)
    left, right = whole.tensors(), resumed.tensors()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert {name.partition("/")[0] for name in left} == {"model", "optimizer", "average", "reference"}
    assert [row.loss for row in rows(tmp_path / "cut")] == [row.loss for row in rows(tmp_path / "whole")]
    assert [row.stage for row in rows(tmp_path / "cut")] == ["sft"] * 5 + ["dpo"] * 5
    first = rows(tmp_path / "whole")[5].loss
    assert first is not None
    assert first > 0.6931  # log 2, and a fifth of the chosen answer's own loss
