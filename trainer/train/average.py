"""The Polyak average of a stage's weights: every step weighs the same."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Average:
    """The running mean of a model's trained parameters, in float64 and so exact to a float32's last bit.

    Args:
      model: Its parameters' names and shapes are taken as they are now.
      steps: How many the mean is of; more than 0 where it is about to be read from a checkpoint.
    """

    def __init__(self, model: nn.Module, steps: int = 0) -> None:
        self.steps = steps
        self._parameters = dict(model.named_parameters())
        self._means = {
            name: torch.zeros_like(parameter, dtype=torch.float64, requires_grad=False)
            for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights as they are now into the mean."""
        self.steps += 1
        for name, parameter in self._parameters.items():
            mean = self._means[name]
            mean.add_(parameter.double().sub_(mean), alpha=1 / self.steps)

    def tensors(self) -> Mapping[str, Tensor]:
        """The mean itself by parameter, float64, not a copy; nothing while it is of no step (all were passed over)."""
        return self._means if self.steps else {}

    @torch.no_grad()
    def write_into(self, model: nn.Module) -> None:
        """Gives a model of the same shape the mean, where there is one, for its weights, rounded to its dtype."""
        parameters = dict(model.named_parameters())
        for name, mean in self.tensors().items():
            parameters[name].copy_(mean)
