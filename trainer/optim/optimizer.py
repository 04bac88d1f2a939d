"""AdamW, and Muon beside it where the recipe says so, as one optimiser whose state goes by parameters' names."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from schemas.training import OptimizerSpec
from trainer.optim.groups import group
from trainer.optim.muon import Muon


class Optimizer:
    """Moves a model's weights by their gradients.

    Its state is there from the start, zero: memory is what it will be, and a checkpoint can be read into it.

    Args:
      model: Its trained parameters are taken as they are now; on its device, in its dtype.
      spec: The recipe's.
    """

    def __init__(self, model: nn.Module, spec: OptimizerSpec) -> None:
        groups = group(model, spec)
        self._adamw_names = {**groups.decayed, **groups.plain}
        self._muon_names = groups.orthogonal
        adamw = [
            {"params": list(groups.decayed.values()), "weight_decay": spec.weight_decay},
            {"params": list(groups.plain.values()), "weight_decay": 0.0},
        ]
        # fused: one kernel over all parameters, elementwise, so that its result depends on no order
        self._adamw = torch.optim.AdamW(
            [part for part in adamw if part["params"]], lr=0.0, betas=spec.betas, eps=spec.eps, fused=True
        )
        self._muon: Muon | None = None
        if self._muon_names:
            self._muon = Muon(self._muon_names.values(), 0.0, spec.momentum, spec.weight_decay)
        self._muon_lr = spec.muon_lr
        for parameter in self._adamw_names.values():
            state = self._adamw.state[parameter]
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)

    def step(self, lr: float) -> None:
        """Moves the weights by their gradients at a learning rate (AdamW's; Muon's is in proportion)."""
        for part in self._adamw.param_groups:
            part["lr"] = lr
        self._adamw.step()
        if self._muon:
            for part in self._muon.param_groups:
                part["lr"] = lr * self._muon_lr
            self._muon.step()

    def reset(self) -> None:
        """Forgets all gradients so far."""
        for tensor in self.tensors().values():
            tensor.zero_()

    def tensors(self) -> Mapping[str, Tensor]:
        """The state itself, not a copy, by `what/parameter`: reading into these tensors restores it."""
        found = {
            f"{key}/{name}": value
            for name, parameter in self._adamw_names.items()
            for key, value in self._adamw.state[parameter].items()
        }
        if self._muon:
            for name, parameter in self._muon_names.items():
                found[f"momentum/{name}"] = self._muon.state[parameter]["momentum"]
        return found
