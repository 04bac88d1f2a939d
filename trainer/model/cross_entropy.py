"""Next-token losses without logits of all positions at once.

8,192 positions over a vocabulary of 256k are 8.4 GB of float32 logits, and their gradient as much again. Here a chunk
of positions at a time is multiplied out, scored in float32 (float64 for float64 weights) and let go.

`cross_entropy` knows what each position will weigh, so it works the gradients out together with the loss: no logits are
computed twice, and the backward pass only scales. `token_losses` doesn't, and computes logits again in the backward.

On a GPU a chunk's scores and gradients come from one compiled kernel, where compiling is allowed: what lies between
products is bound by memory.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def chunk_size(vocab_size: int, device: str) -> int:
    """Positions of a chunk where none is asked for.

    On a CPU their logits are 16 MiB in float32, which stay near and come from memory that is at hand; an accelerator
    wants larger products and fewer sums into the gradient of the weights, 512 MiB in bfloat16. Fewer than 256 would
    read the output's weights too often.
    """
    elements = 2**22 if device == "cpu" else 2**28
    return max(elements // vocab_size // 128 * 128, 256)


def cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, chunk: int | None = None, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """The weighted sum of next-token losses in nats, and what the weights add up to.

    Args:
      hidden: [..., dim], behind the last norm.
      weight: [vocab_size, dim], the output's.
      targets: int64 [...].
      weights: [...], 0 where a position has no target (its target is any id).
      chunk: Positions that have logits at once; None: `chunk_size`.
      compiled: Whether a GPU may compile, for which Triton wants a C compiler. A CPU never does.

    Returns:
      Sum and count, float64 scalars: float32 counts no further than 16,777,216. Only the sum has a gradient, with
      respect to hidden and weight, and only once.
    """
    states = hidden.reshape(-1, hidden.shape[-1])
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    chunk = chunk or chunk_size(weight.shape[0], hidden.device.type)
    how = _How(chunk, _product_dtype(hidden), compiled and hidden.is_cuda)
    total = _WeightedSum.apply(states, weight, targets.reshape(-1), weights.reshape(-1), how, wanted)
    return total, weights.sum(dtype=torch.float64)


def token_losses(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int | None = None, compiled: bool = False
) -> Tensor:
    """Each position's loss in nats, [...] as `targets`, float32 at least. Arguments as for `cross_entropy`."""
    states = hidden.reshape(-1, hidden.shape[-1])
    chunk = chunk or chunk_size(weight.shape[0], hidden.device.type)
    how = _How(chunk, _product_dtype(hidden), compiled and hidden.is_cuda)
    losses: Tensor = _TokenLosses.apply(states, weight, targets.reshape(-1), how)
    return losses.view(targets.shape)


@dataclass(frozen=True, slots=True)
class _How:
    size: int
    """Positions of a chunk."""
    dtype: torch.dtype
    """Of the products."""
    compiled: bool


class _Chunks:
    """Scores positions a chunk at a time, in memory that all chunks share.

    Args:
      hidden: [positions, dim].
      weight: [vocab_size, dim].
      targets: int64 [positions].
      how: They are multiplied out and scored.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, targets: Tensor, how: _How) -> None:
        self.hidden, self.weight, self.targets = hidden, weight.to(how.dtype), targets
        self.parts = [slice(start, start + how.size) for start in range(0, len(hidden), how.size)]
        room = (min(how.size, len(hidden)), len(weight))
        self._logits = torch.empty(room, dtype=how.dtype, device=hidden.device)
        wide = torch.promote_types(how.dtype, torch.float32)
        self._shares = None if how.compiled else torch.empty(room, dtype=wide, device=hidden.device)

    def scored(self, part: slice, scale: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A chunk's losses [n]; with a scale [n] also, until the next chunk, what `score` gives."""
        states, targets = self.hidden[part].to(self.weight.dtype), self.targets[part]
        logits = torch.mm(states, self.weight.T, out=self._logits[: len(states)])
        if self._shares is None:
            found: tuple[Tensor, Tensor | None] = _compiled_score()(logits, targets, scale)
            return found
        shares, own = self._shares[: len(states)], targets[:, None]
        torch.softmax(logits, -1, dtype=shares.dtype, out=shares)
        # the log of a target's own probability would end at 1e-38; that of the largest never does
        ahead = logits.amax(-1).to(shares.dtype) - logits.gather(1, own)[:, 0].to(shares.dtype)
        losses = ahead - shares.amax(-1).log()
        if scale is None:
            return losses, None
        scale = scale[:, None].to(shares.dtype)
        return losses, shares.mul_(scale).scatter_add_(1, own, -scale).to(logits.dtype)

    def add_gradients(self, part: slice, of_logits: Tensor, of_hidden: Tensor, of_weight: Tensor) -> None:
        """Adds what a chunk's gradients with respect to its logits give."""
        states = self.hidden[part].to(self.weight.dtype)
        of_hidden[part] = of_logits @ self.weight
        if of_weight.dtype == of_logits.dtype:
            of_weight.addmm_(of_logits.T, states)
        else:
            of_weight += of_logits.T @ states


def score(logits: Tensor, targets: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Losses, and their gradients with respect to logits, each times its scale: what a GPU compiles.

    Args:
      logits: [n, vocab_size].
      targets: int64 [n].
      scale: [n], or None for no gradients.

    Returns:
      [n], float32 at least, and [n, vocab_size] in the logits' dtype or None.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_total = wide.logsumexp(-1, keepdim=True)
    losses = (log_total - wide.gather(1, targets[:, None]))[:, 0]
    if scale is None:
        return losses, None
    own = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    shares = (wide - log_total).exp()
    return losses, (torch.where(own, shares - 1, shares) * scale[:, None].to(wide.dtype)).to(logits.dtype)


@functools.cache
def _compiled_score() -> Any:
    return torch.compile(score)  # a step's last chunk is shorter: the second graph serves any number of positions


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, how: _How, wanted: bool
    ) -> Tensor:  # fmt: skip
        chunks = _Chunks(hidden, weight, targets, how)
        ctx.gradients = (torch.empty_like(hidden), torch.zeros_like(weight)) if wanted else None
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        for part in chunks.parts:
            losses, of_logits = chunks.scored(part, weights[part] if wanted else None)
            total += (losses * weights[part]).sum()
            if of_logits is not None:
                chunks.add_gradients(part, of_logits, *ctx.gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of this loss was given out already; compute the loss again")
        of_hidden, of_weight = ctx.gradients
        ctx.gradients = None
        return of_hidden.mul_(gradient), of_weight.mul_(gradient), None, None, None, None


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, how: _How) -> Tensor:
        ctx.save_for_backward(hidden, weight, targets)
        ctx.how = how
        chunks = _Chunks(hidden, weight, targets, how)
        return torch.cat([chunks.scored(part, None)[0] for part in chunks.parts])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets = ctx.saved_tensors
        chunks = _Chunks(hidden, weight, targets, ctx.how)
        gradients = torch.empty_like(hidden), torch.zeros_like(weight)
        for part in chunks.parts:
            _, of_logits = chunks.scored(part, gradient[part])
            assert of_logits is not None
            chunks.add_gradients(part, of_logits, *gradients)
        return *gradients, None, None


def _product_dtype(hidden: Tensor) -> torch.dtype:
    """What logits are multiplied out in: autocast's dtype where it is on, as for any linear map."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
