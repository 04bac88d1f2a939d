"""Rotary positions (RoFormer, https://arxiv.org/abs/2104.09864), with Llama 3.1's scaling of frequencies.

Halves are turned against each other, as Hugging Face's weights want it, not neighbours as in the paper. Angles are
worked out in float64 from the positions, once a forward pass: at position 100,000 float32 is off by 0.004 of a radian,
a table would have to grow with the context, and beside a block's work they cost nothing.
"""

import math

import torch
from torch import Tensor

from schemas.training import RopeScaling


def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None, device: torch.device) -> Tensor:
    """Radians a position, [head_dim / 2], float64.

    With `scaling`, wavelengths over `original_context / low_freq_factor` are stretched by `factor`, those under
    `original_context / high_freq_factor` stay, those between are interpolated (`rope_type: llama3`).
    """
    turns = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64, device=device) / head_dim)
    if scaling is None:
        return turns
    periods = scaling.original_context * turns / (2 * math.pi)  # within the original context
    kept = ((periods - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)).clamp(0, 1)
    return turns * (kept + (1 - kept) / scaling.factor)


@torch.library.custom_op("gristmill::rotation", mutates_args=())
def rotation(positions: Tensor, radians: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `rotate`.

    An operator of its own, which a compiler can't look into: Inductor would work float64 powers, cosines and sines out
    again within every rotation of every layer, for each element of each head.

    Args:
      positions: [rows or 1, seq].
      radians: Of `frequencies`, [head_dim / 2].
      dtype: Theirs.

    Returns:
      Two of [rows or 1, seq, 1, head_dim / 2].
    """
    angles = positions[:, :, None, None].to(torch.float64) * radians
    return angles.cos().to(dtype), angles.sin().to(dtype)


@rotation.register_fake
def _(positions: Tensor, radians: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    empty = radians.new_empty((*positions.shape, 1, len(radians)), dtype=dtype)
    return empty, torch.empty_like(empty)


def rotate(x: Tensor, turned_by: tuple[Tensor, Tensor]) -> Tensor:
    """Turns queries or keys, [rows, seq, heads, head_dim], by their positions' angles; the dtype stays."""
    cos, sin = turned_by
    first, second = x.chunk(2, dim=-1)
    halves = first * cos - second * sin, second * cos + first * sin
    return torch.cat([half.to(x.dtype) for half in halves], dim=-1)
