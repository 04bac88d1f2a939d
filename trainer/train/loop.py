"""The loop: batches of a stage in, weights that have learned from them out.

A stage is a resumable source of batches and a loss that returns a sum and a count. Micro-batches add up sums on every
rank; gradients, sums and counts add up over ranks; then, once, all is divided by the global count. So 1 x 32 rows are
32 x 1 rows, and two ranks are one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NoReturn

import torch
from torch import Tensor

from schemas.training import LrSpec
from trainer.batch import Batch, Source, Step
from trainer.errors import TrainingFailedError
from trainer.optim.schedule import learning_rate
from trainer.train.board import Board
from trainer.train.guards import not_finite
from trainer.train.metrics import JsonLines, Row
from trainer.train.precision import autocast
from trainer.train.ranks import Ranks
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter

Loss = Callable[[Batch], tuple[Tensor, Tensor]]
"""(sum, count), scalars: the sum has a gradient, the count none. Bound to its model: `partial(next_token, decoder)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the loop needs to know of a stage."""

    name: str
    source: Source
    loss: Loss
    lr: LrSpec
    micro_batch_size: int
    """Rows that go through the model at once."""
    together: int = 1
    """Rows that go to one rank as one: 2 of preference pairs. Only to name rows in errors."""


@dataclass(slots=True, kw_only=True)
class Loop:
    """Trains stages, one after the other, with all that is around it."""

    training: Training
    ranks: Ranks
    clock: Clock
    metrics: JsonLines | None
    """On the first rank, as are `writer` and `board`."""
    writer: CheckpointWriter | None
    stop: Stop
    checkpoint_every: int
    """Targets; 0: at a stage's end and before a stop alone."""
    precision: Literal["float32", "bf16"] = "float32"
    board: Board | None = None
    tell: Callable[[Row], None] = lambda _: None
    """Hears of every step on the first rank."""
    started: int = field(init=False)
    _saved: int = field(init=False)
    """The step of the newest checkpoint."""
    _saved_targets: int = field(init=False)

    def __post_init__(self) -> None:
        self._saved, self._saved_targets = self.training.progress.step, self.training.progress.targets
        self.started = self._saved + 1

    def train(self, stage: Stage) -> bool:
        """Trains a stage from where it stands to its end, checkpoint included.

        Returns:
          False where it was stopped before by a signal; the checkpoint stands, and the same stage goes on later.

        Raises:
          TrainingFailedError: Losses, gradients or weights are not finite, the source breaks its plan, or the last
            checkpoint can't be written.
        """
        at = self.training.progress
        steps = stage.source.steps(at.source, self.ranks.rank, self.ranks.world, stage.micro_batch_size)
        for step in self.clock.waited(steps):
            lr = learning_rate(stage.lr, at.stage_targets + step.targets / 2, stage.source.total_targets)
            stopping = self._step(stage, step, lr)
            if self._due:
                self._save(stage)
            if stopping:
                self._save(stage, wait=True)
                return False
        self.clock.write(at.step)
        self._save(stage, wait=True)
        return True

    def _step(self, stage: Stage, step: Step, lr: float) -> bool:
        """One step; whether any rank was asked to stop."""
        training, at = self.training, self.training.progress
        parts, (total, count, targets, tokens, stopping, norm) = self._gradients(stage, step.batches)
        at.step, at.targets, at.stage_targets = at.step + 1, at.targets + step.targets, at.stage_targets + step.targets
        at.source = step.state
        if targets != step.targets:
            raise TrainingFailedError(
                f"stage {stage.name!r}, step {at.step}: the plan says {step.targets} targets, the batches of all ranks "
                f"hold {targets:g}; the source gives other rows than it planned"
            )
        loss, norm = (total / count, norm / count) if count else (math.nan, math.nan)
        if not count:
            training.guards.pass_idle()
        elif training.guards.judge(at.step, stage.name, loss, norm):
            clip = training.spec.clip
            training.gradients.scale((clip / norm if 0 < clip < norm else 1.0) / count)
            training.optimizer.step(lr)
            if training.average:
                training.average.update()
        self.clock.stepped(at.step, step.seq_len, int(tokens))
        self._record(stage, step, lr, loss, norm)
        if training.guards.exhausted:
            rows = self._not_finite_rows(stage, step, parts)
            self._fail(
                stage,
                f"{training.guards.decisions[-1].reason} in {training.guards.not_finite} steps in a row, none of which "
                f"moved the weights; last in {rows}, behind which the source is at {dict(step.state)!r}",
            )
        return stopping > 0

    def _gradients(self, stage: Stage, batches: Sequence[Batch]) -> tuple[list[Tensor], list[float]]:
        """The gradient of the sum of losses over all micro-batches and ranks.

        Returns:
          The micro-batches' own sums on this rank; and, over all ranks: sum, count, targets, tokens, how many ranks
          were asked to stop, norm of the gradient.
        """
        gradients = self.training.gradients
        gradients.zero()
        parts = [self._accumulate(stage, batch) for batch in batches]
        asked = torch.full((1,), self.stop.asked, dtype=torch.float64, device=self.ranks.device)  # waits for nothing
        sums = torch.cat([torch.stack(parts).sum(0), asked])
        gradients.all_reduce(self.ranks)
        self.ranks.all_reduce(sums)
        found: list[float] = torch.cat([sums, gradients.norm()[None]]).tolist()  # waits for the device
        return parts, found

    def _accumulate(self, stage: Stage, batch: Batch) -> Tensor:
        """Adds a micro-batch's gradient; [sum, count, targets, tokens], float64, on the device."""
        batch = batch.to(self.ranks.device)
        with autocast(self.ranks.device, self.precision):
            total, count = stage.loss(batch)
        total.backward()  # type: ignore[no-untyped-call]
        sums = total.detach(), count, batch.weights.sum(dtype=torch.float64), (batch.documents >= 0).sum()
        return torch.stack([value.double() for value in sums])

    def _record(self, stage: Stage, step: Step, lr: float, loss: float, norm: float) -> None:
        at = self.training.progress
        known = loss if math.isfinite(loss) else None
        row = Row(at.step, stage.name, at.targets, step.seq_len, lr, known, self.started)
        if self.metrics:
            self.metrics.add(asdict(row))
        if self.board:
            self.board.add(at.step, {"loss": known, "lr": lr, "norm": norm if math.isfinite(norm) else None})
        if self.writer:
            self.writer.collect()
        if self.ranks.first:
            self.tell(row)

    @property
    def _due(self) -> bool:
        """Whether a checkpoint is due; it is put off while steps are not finite, since the weights may be why."""
        targets, every = self.training.progress.targets, self.checkpoint_every
        if not every or self.training.guards.not_finite:
            return False
        return targets // every > self._saved_targets // every

    def _save(self, stage: Stage, wait: bool = False) -> None:
        """Begins a checkpoint, unless this step has one. A stage's last one, and one before a stop, must succeed."""
        training, at = self.training, self.training.progress
        if at.step > self._saved:
            tensors = training.tensors()
            if broken := not_finite(tensors):  # on every rank: the weights are the same
                self._fail(stage, f"{len(broken)} tensors are not finite, {broken[0]!r} the first of them")
            if self.writer:
                if self.metrics:
                    self.metrics.sync()
                self.writer.save(at.step, tensors, training.state(), training.guards.proven(at.step))
        self._saved, self._saved_targets = at.step, at.targets
        if self.writer and wait:
            self.writer.finish()

    def _fail(self, stage: Stage, what: str) -> NoReturn:
        """Ends the run where the same command can go on from: at weights that a later step found good."""
        step, clip = self.training.progress.step, self.training.spec.clip
        good = self.writer.fall_back(self.training.guards.proven(step)) if self.writer else None
        last = self.ranks.broadcast_object(good)
        where = f"goes on from the last good checkpoint, {last}" if last else "begins anew: no good checkpoint stands"
        raise TrainingFailedError(
            f"stage {stage.name!r}, step {step}: {what}; the same command {where}; if the data is sound, give it with "
            f"--set of a lower stages.{stage.name}.lr.from, now {stage.lr.start:g}, or of a lower optimizer.clip, now "
            f"{clip:g}{'' if clip else ', which clips nothing'}"
        )

    def _not_finite_rows(self, stage: Stage, step: Step, parts: list[Tensor]) -> str:
        """Which rows of the step lie in micro-batches whose loss is not finite."""
        mine = [number for number, part in enumerate(parts) if not math.isfinite(float(part[0]))]
        rows = sorted(
            (rank + self.ranks.world * (row // stage.together)) * stage.together + row % stage.together
            for rank, numbers in enumerate(self.ranks.all_gather(mine))
            for number in numbers
            for row in range(number * stage.micro_batch_size, (number + 1) * stage.micro_batch_size)
        )
        rows = [row for row in rows if row < step.rows]
        return f"rows {rows} of the step's {step.rows}" if rows else f"all {step.rows} rows of the step"
