"""Muon: momentum whose matrices are made nearly orthogonal before they move the weights.

Keller Jordan, https://kellerjordan.github.io/posts/muon/; the step's scale is that of Liu et al., "Muon is scalable
for LLM training" (2502.16982): an update's root mean square is about AdamW's, so that one learning rate and one weight
decay serve both. `torch.optim.Muon` (since 2.9) is not used because it computes in bfloat16 on every device and for
every dtype, which hides in noise what float64 tests compare, takes matrices one by one, and all of them on every rank.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315  # steepest at 0 of the quintics that keep singular values within about 0.7 to 1.2
_STEPS = 5
_TOGETHER = 2**27  # elements of matrices of one shape that are stacked: 256 MB in bfloat16


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for matrices.

    Args:
      params: Matrices.
      lr: Learning rate.
      momentum: Of the running mean of gradients.
      weight_decay: Decoupled, as AdamW's.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(f"Muon moves matrices, not a parameter of shape {tuple(parameter.shape)!r}")
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, alike in by_shape.items():
                together = max(1, _TOGETHER // shape.numel())
                for start in range(0, len(alike), together):
                    self._move(group, alike[start : start + together])

    def _move(self, group: dict[str, Any], alike: list[nn.Parameter]) -> None:
        """One step of matrices of one shape."""
        weights: list[Tensor] = list(alike)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        means = [self.state[parameter]["momentum"] for parameter in alike]
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        directions = _directions(gradients, means, group["momentum"])
        rows, columns = weights[0].shape
        scale = 0.2 * max(rows, columns) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, list(directions.to(weights[0].dtype)), alpha=-group["lr"] * scale)


def _directions(gradients: Sequence[Tensor], means: Sequence[Tensor], momentum: float) -> Tensor:
    """[n, rows, columns]: where matrices of one shape go. Each rank works out its part, and gets the others'."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    mine = slice(len(means) * rank // world, len(means) * (rank + 1) // world)
    ahead = [torch.lerp(*pair, momentum) for pair in zip(gradients[mine], means[mine], strict=True)]
    if world == 1:
        return orthogonalise(torch.stack(ahead))
    directions = gradients[0].new_zeros(len(means), *gradients[0].shape, dtype=_kind(gradients[0]))
    if ahead:
        directions[mine] = orthogonalise(torch.stack(ahead))
    dist.all_reduce(directions)  # of one number and zeros: exact
    return directions


def _kind(matrix: Tensor) -> torch.dtype:
    """What directions are worked out in: bfloat16 on a GPU, as Muon's author found to be enough."""
    return torch.bfloat16 if matrix.is_cuda else matrix.dtype


def orthogonalise(matrices: Tensor) -> Tensor:
    """About `U @ V.T` of each `U @ S @ V.T`: singular values come to lie near 1, their vectors stay.

    Five Newton-Schulz steps; in bfloat16 on a GPU, else in the matrices' own type.

    Args:
      matrices: [n, rows, columns].

    Returns:
      [n, rows, columns].
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(_kind(matrices))
    x = x.mT if tall else x
    norms: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x / norms.clamp(min=1e-7)  # no singular value above 1
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x
