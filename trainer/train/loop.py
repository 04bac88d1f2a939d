"""The loop: batches of a stage in, weights that have learned from them out.

A stage is a resumable source of batches and a loss that returns a sum and a count. Micro-batches add up sums on every
rank; gradients, sums and counts add up over ranks; then, once, all is divided by the global count. So 1 x 32 rows are
32 x 1 rows, and two ranks are one.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import torch
from torch import Tensor

from schemas.training import LrSpec
from trainer.batch import Batch, Source, Step
from trainer.errors import TrainingFailedError
from trainer.optim.schedule import learning_rate
from trainer.train.board import Board
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
    micro_rows: int
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
    """Targets."""
    precision: Literal["float32", "bf16"] = "float32"
    board: Board | None = None
    tell: Callable[[Row], None] = lambda _: None
    """Hears of every step on the first rank."""
    started: int = field(init=False)
    _saved: int = field(init=False)
    """The step of the newest checkpoint."""

    def __post_init__(self) -> None:
        self._saved = self.training.progress.step
        self.started = self._saved + 1

    def train(self, stage: Stage) -> bool:
        """Trains a stage from where it stands to its end, checkpoint included.

        Returns:
          False where it was stopped before by a signal; the checkpoint stands, and the same stage goes on later.

        Raises:
          TrainingFailedError: Losses or gradients stay not finite, the source breaks its plan, or the last checkpoint
            can't be written.
        """
        at = self.training.progress
        steps = stage.source.steps(at.source, self.ranks.rank, self.ranks.world, stage.micro_rows)
        lengths: Counter[int] = Counter()
        for step in self.clock.waited(steps):
            lengths[step.seq_len] += 1
            lr = learning_rate(stage.lr, at.stage_targets + step.targets / 2, stage.source.total_targets)
            # at the second step of a length: the first one may compile
            stopping = self._step(stage, step, lr, control=lengths[step.seq_len] == 2)
            if at.tokens // self.checkpoint_every > (at.tokens - step.targets) // self.checkpoint_every:
                self._save()
            if stopping:
                self._save(wait=True)
                return False
        self.clock.write(at.step)
        self._save(wait=True)
        return True

    def _step(self, stage: Stage, step: Step, lr: float, control: bool) -> bool:
        """One step; whether any rank was asked to stop."""
        training, at = self.training, self.training.progress
        if control:
            self._control(stage, step)
        parts, (total, count, targets, tokens, stopping, norm) = self._gradients(stage, step.batches)
        at.step, at.tokens, at.stage_targets = at.step + 1, at.tokens + step.targets, at.stage_targets + step.targets
        at.source = step.state
        if targets != step.targets:
            raise TrainingFailedError(
                f"stage {stage.name!r}, step {at.step}: the plan says {step.targets} targets, the batches of all ranks "
                f"hold {targets:g}; the source gives other rows than it planned"
            )
        loss, norm = (total / count, norm / count) if count else (math.nan, math.nan)
        if training.guards.judge(at.step, stage.name, loss, norm):
            with self.clock.applying(step.seq_len, control):
                clip = training.spec.clip
                training.gradients.scale((clip / norm if 0 < clip < norm else 1.0) / count)
                training.optimizer.step(lr)
                if training.average:
                    training.average.update()
        elif training.guards.exhausted:
            self._fail(stage, step, parts)
        self.clock.stepped(at.step, step.seq_len, int(tokens))
        self._record(stage, step, lr, loss, norm)
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
        asked = torch.tensor([self.stop.asked], dtype=torch.float64, device=self.ranks.device)
        sums = torch.cat([torch.stack(parts).sum(0), asked])
        gradients.sum(self.ranks)
        self.ranks.sum(sums)
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

    def _control(self, stage: Stage, step: Step) -> None:
        """Times the gradient of the step's batches where they lie on the device already; it is forgotten."""
        with self.clock.measuring():
            held = [batch.to(self.ranks.device) for batch in step.batches]
            with self.clock.control_of(step.seq_len):
                _, found = self._gradients(stage, held)
            self.clock.control_tokens[step.seq_len] = int(found[3])

    def _record(self, stage: Stage, step: Step, lr: float, loss: float, norm: float) -> None:
        at = self.training.progress
        known = loss if math.isfinite(loss) else None
        row = Row(at.step, stage.name, at.tokens, step.seq_len, lr, known, self.started)
        if self.metrics:
            self.metrics.add(asdict(row))
        if self.board:
            self.board.add(at.step, {"loss": known, "lr": lr, "norm": norm if math.isfinite(norm) else None})
        if self.writer:
            self.writer.collect()
        if self.ranks.first:
            self.tell(row)

    def _save(self, wait: bool = False) -> None:
        """Begins a checkpoint, unless this step has one. A stage's last one, and one before a stop, must succeed."""
        at = self.training.progress
        if self.writer and at.step > self._saved:
            if self.metrics:
                self.metrics.sync()
            self.writer.save(at.step, self.training.tensors(), self.training.state())
        self._saved = at.step
        if self.writer and wait:
            self.writer.finish()

    def _fail(self, stage: Stage, step: Step, parts: list[Tensor]) -> None:
        """Says which rows, and where to go on from."""
        rows = self._not_finite_rows(stage, step, parts)
        if self.writer:
            self.writer.wait()
        guards, last = self.training.guards, self.writer.last if self.writer else None
        raise TrainingFailedError(
            f"stage {stage.name!r}, step {self.training.progress.step}: {guards.decisions[-1].reason} in "
            f"{guards.not_finite} steps in a row, none of which moved the weights; last in {rows}, behind which the "
            f"source is at {dict(step.state)!r}; the last good checkpoint is {last or 'none'}; look at these rows, or "
            "lower the learning rate"
        )

    def _not_finite_rows(self, stage: Stage, step: Step, parts: list[Tensor]) -> str:
        """Which rows of the step lie in micro-batches whose loss is not finite."""
        mine = [number for number, part in enumerate(parts) if not math.isfinite(float(part[0]))]
        rows = sorted(
            (rank + self.ranks.world * (row // stage.together)) * stage.together + row % stage.together
            for rank, numbers in enumerate(self.ranks.gather(mine))
            for number in numbers
            for row in range(number * stage.micro_rows, (number + 1) * stage.micro_rows)
        )
        rows = [row for row in rows if row < step.rows]
        return f"rows {rows} of the step's {step.rows}" if rows else f"all {step.rows} rows of the step"
