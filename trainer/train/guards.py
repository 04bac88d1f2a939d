"""Decides whether a step's gradient may move the weights, and remembers why it did not.

A loss or gradient that is not finite never does; several in a row end the run. A loss far above those before it whose
gradient is far larger too (an outlier batch) is passed over as well; a high loss alone (the mix has changed, say) is
only noted. All ranks see the same global numbers, so all decide alike, and the history is part of the checkpoint, so
that a resumed run decides as the unbroken one.

What a step has made of the weights shows in the next: a loss may be finite, and its update ruin them. So weights are
known to be good when a later step has found them so.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from schemas.training import GuardSpec

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_LEAST_SIGMA = 0.01  # of the median: what is flat has no spread to judge by


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a step that was not like the others."""

    step: int
    stage: str
    reason: Literal["loss_not_finite", "gradient_not_finite", "loss_spike"]
    loss: float | None
    """None where it is not finite."""
    norm: float | None
    """Of the gradient of the mean loss; None where it is not finite."""
    median: float | None
    """Of the losses before, for a spike."""
    applied: bool


@dataclass(slots=True)
class Guards:
    """The judge, and what it remembers."""

    spec: GuardSpec = field(default_factory=GuardSpec)
    decisions: list[Decision] = field(default_factory=list)
    not_finite: int = 0
    """Steps in a row, up to now, whose loss or gradient was not finite; those without a target do not count."""
    idle: int = 0
    """Steps without a target since the last whose loss and gradient were finite."""
    spikes: int = 0
    """Spikes in a row, up to now."""
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    @property
    def exhausted(self) -> bool:
        """Whether training can't go on."""
        return self.not_finite > self.spec.max_skips

    def proven(self, step: int) -> int:
        """The newest step up to whose weights all are known to be good: with them a loss and gradient were finite.

        Args:
          step: The last one that was judged or passed.
        """
        return step - self.not_finite - self.idle - 1

    def pass_idle(self) -> None:
        """A step that holds no target (of a chat nothing but a long prompt): nothing is learnt, and nothing known."""
        self.idle += 1

    def judge(self, step: int, stage: str, loss: float, norm: float) -> bool:
        """Whether the step's gradient may move the weights."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.not_finite += 1
            reason: Literal["loss_not_finite", "gradient_not_finite"]
            reason = "gradient_not_finite" if math.isfinite(loss) else "loss_not_finite"
            self.decisions.append(Decision(step, stage, reason, _finite(loss), _finite(norm), None, False))
            return False
        self.not_finite = self.idle = 0
        median = statistics.median(self.losses) if self.losses else math.inf
        high = self._is_spike(loss, self.losses)
        outlier = high and self._is_spike(norm, self.norms)
        self.spikes = self.spikes + 1 if high else 0
        skip = outlier and self.spec.spike == "skip" and self.spikes <= self.spec.max_skips
        if skip or self.spikes == 1:  # of a new level that stays, the first step is enough
            self.decisions.append(Decision(step, stage, "loss_spike", loss, norm, median, not skip))
        self.losses = [*self.losses, loss][-self.spec.window :]
        self.norms = [*self.norms, norm][-self.spec.window :]
        return not skip

    def _is_spike(self, value: float, before: Sequence[float]) -> bool:
        if len(before) < self.spec.window // 4:
            return False
        median = statistics.median(before)
        spread = _MAD_TO_SIGMA * statistics.median(abs(other - median) for other in before)
        return value > median + self.spec.sigmas * max(spread, _LEAST_SIGMA * abs(median))

    def begin_stage(self) -> None:
        """Forgets what was normal: a new stage has other data, lengths or another loss."""
        self.losses, self.norms, self.spikes = [], [], 0

    def state(self) -> dict[str, Any]:
        """JSON-able: what `restore` takes."""
        return {
            "decisions": [dataclasses.asdict(decision) for decision in self.decisions],
            "not_finite": self.not_finite,
            "idle": self.idle,
            "spikes": self.spikes,
            "losses": self.losses,
            "norms": self.norms,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint; the spec is the present one."""
        self.decisions = [Decision(**decision) for decision in state["decisions"]]
        self.not_finite, self.idle, self.spikes = state["not_finite"], state["idle"], state["spikes"]
        self.losses, self.norms = list(state["losses"]), list(state["norms"])


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of those that hold anything not finite; waits for the device once."""
    largest = {
        name: torch.linalg.vector_norm(tensor, math.inf)  # unlike a sum, it can't overflow
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }
    device = next(iter(largest.values())).device  # an optimizer counts its steps on the CPU
    finite = torch.stack([norm.to(device, torch.float64) for norm in largest.values()]).isfinite().tolist()
    return [name for name, good in zip(largest, finite, strict=True) if not good]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
