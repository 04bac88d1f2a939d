"""What a checkpoint holds: weights, optimizer, average, reference, guards, and how far training has come."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from schemas.training import OptimizerSpec
from trainer.optim.optimizer import Optimizer
from trainer.train.average import Average
from trainer.train.checkpoint import Checkpoint
from trainer.train.gradients import Gradients
from trainer.train.guards import Guards
from trainer.train.ranks import Ranks


@dataclass(slots=True)
class Progress:
    """How far training has come, alike on every rank."""

    step: int = 0
    """Steps done, of all stages."""
    targets: int = 0
    """So far, of all stages."""
    stage: int = -1
    """Number of the stage under way; -1 before the first."""
    stage_targets: int = 0
    """So far, of this stage."""
    source: Mapping[str, Any] | None = None
    """What its source needs to go on; None at its start."""


@dataclass(slots=True)
class Facts:
    """What a run remembers besides, JSON-able; by stage, as far as stages have begun or ended."""

    model: Mapping[str, Any] = field(default_factory=dict)
    """Its `ModelSpec`, as stages have changed it."""
    targets: dict[str, int] = field(default_factory=dict)
    """How many each stage has."""
    loss_before: float | None = None
    """On held-out documents, before the stage under way; None where there are none."""
    held_out: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Loss and bits per byte on held-out documents behind each stage."""
    data: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What has become of each stage's data: its `Account`."""
    gates: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each gate saw."""


@dataclass(slots=True)
class Training:
    """All that moves during training. A copy of it is a checkpoint."""

    model: nn.Module
    spec: OptimizerSpec
    guards: Guards = field(default_factory=Guards)
    progress: Progress = field(default_factory=Progress)
    facts: Facts = field(default_factory=Facts)
    average: Average | None = None
    reference: nn.Module | None = None
    optimizer: Optimizer = field(init=False)
    gradients: Gradients = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = Optimizer(self.model, self.spec)
        self.gradients = Gradients(self.model.parameters())

    def begin_stage(self, number: int, *, reset: bool, average: bool, reference: bool) -> None:
        """Begins a stage with the weights as they are; a stage that is gone on with is `restore`d instead.

        Args:
          number: The stage's, from 0.
          reset: Whether the optimizer forgets.
          average: Whether the stage's weights are averaged. An average of the stage before ends here.
          reference: Whether the loss compares with the weights as they are now (DPO).
        """
        self.progress.stage, self.progress.stage_targets, self.progress.source = number, 0, None
        self.guards.begin_stage()
        if reset:
            self.optimizer.reset()
        self.average = Average(self.model) if average else None
        self.reference = _frozen(self.model) if reference else None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, themselves, not copies, by their names in a checkpoint."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.tensors(),
            "average": self.average.tensors() if self.average else {},
            "reference": self.reference.state_dict() if self.reference else {},
        }
        return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def state(self) -> dict[str, Any]:
        """Everything else, JSON-able, a copy."""
        return copy.deepcopy(
            {
                "progress": dataclasses.asdict(self.progress),
                "guards": self.guards.state(),
                "facts": dataclasses.asdict(self.facts),
                "average": self.average.steps if self.average else None,
                "reference": self.reference is not None,
            }
        )

    def restore(self, checkpoint: Checkpoint, ranks: Ranks) -> None:
        """Goes on from a checkpoint, on any number of ranks. The model has the shape that it had then.

        Args:
          checkpoint: Its tensors are read by the first rank, and the others get them from it.
          ranks: Who takes part.

        Raises:
          TrainerError: Its tensors are not those of this model and optimizer.
        """
        state = checkpoint.state
        self.progress = Progress(**state["progress"])
        self.guards.restore(state["guards"])
        self.facts = Facts(**state["facts"])
        self.average = Average(self.model, state["average"]) if state["average"] is not None else None
        self.reference = _frozen(self.model) if state["reference"] else None
        if ranks.first:
            checkpoint.load(self.tensors())
        self.broadcast(ranks)

    def broadcast(self, ranks: Ranks) -> None:
        """Gives every rank the first one's tensors; what its own held does not count."""
        for tensor in self.tensors().values():
            ranks.broadcast(tensor)


def _frozen(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False).eval()
