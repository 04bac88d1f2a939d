"""All gradients in one flat buffer, summed over micro-batches and ranks, then divided once.

Not DistributedDataParallel, for three reasons. It averages over ranks, where a rank with few targets would weigh as
much as one with many; sums divided by the global count need its hooks undone. It lays out its buckets anew after the
first step, so a resumed run would add the same numbers in another order than an unbroken one, and the last bit would
differ; the layout here never changes. And its overlap of communication with the backward pass is worth little here:
only a step's last micro-batch has any, and a compiled backward pass hands over its gradients at its end.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from trainer.train.ranks import Ranks

_ALIGN = 32
"""Elements: parameters begin at multiples of 128 bytes (float32), as vector loads on a GPU want it."""


class Gradients:
    """The gradients of a model's parameters; `parameter.grad` is a view of the buffer and stays it.

    Args:
      parameters: In an order that is the same on every rank.

    Raises:
      ValueError: Parameters of several dtypes or devices.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        kinds = {(parameter.dtype, parameter.device) for parameter in trained}
        if len(kinds) != 1:
            raise ValueError(f"gradients are kept in one buffer, parameters are of {sorted(map(str, kinds))!r}")
        sizes = [-(-parameter.numel() // _ALIGN) * _ALIGN for parameter in trained]
        dtype, device = kinds.pop()
        self.flat = torch.zeros(sum(sizes), dtype=dtype, device=device)
        for parameter, part in zip(trained, torch.split(self.flat, sizes), strict=True):
            parameter.grad = part[: parameter.numel()].view_as(parameter)

    def zero(self) -> None:
        """Forgets them; the views stay (setting them to None would cut them off)."""
        self.flat.zero_()

    def all_reduce(self, ranks: Ranks) -> None:
        """Adds up over all ranks."""
        ranks.all_reduce(self.flat)

    def norm(self) -> Tensor:
        """Euclidean norm over all parameters, a float64 scalar on the device."""
        norm: Tensor = torch.linalg.vector_norm(self.flat)
        return norm.double()

    def scale(self, factor: float) -> None:
        """Multiplies all of them."""
        self.flat.mul_(factor)
