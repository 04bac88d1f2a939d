"""Keys and values of what was read already, so that a next token costs one position."""

import torch
from torch import Tensor

from schemas.training import ModelSpec
from trainer.errors import TrainerError


class LayerCache:
    """One layer's: room for `capacity` positions."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values
        self.length = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Appends [rows, kv_heads, new, head_dim], and returns all there are by now.

        Raises:
          TrainerError: No room.
        """
        end = self.length + keys.shape[2]
        if end > self._keys.shape[2]:
            raise TrainerError(
                f"a cache for {self._keys.shape[2]} positions can't take {end}: cut the text or make a larger one"
            )
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]


class KeyValueCache:
    """All layers' keys and values, of rows that grow together. Not for training: it is written in place."""

    def __init__(
        self, spec: ModelSpec, rows: int, capacity: int, *, dtype: torch.dtype, device: torch.device | None = None
    ) -> None:
        size = (rows, spec.kv_heads or spec.heads, capacity, spec.dim // spec.heads)
        self.layers = [
            LayerCache(torch.empty(size, dtype=dtype, device=device), torch.empty(size, dtype=dtype, device=device))
            for _ in range(spec.layers)
        ]

    @property
    def length(self) -> int:
        """Positions held."""
        return self.layers[0].length

    def rewind(self, length: int) -> None:
        """Forgets all positions from `length` on, so that another continuation of the same beginning can be tried."""
        for layer in self.layers:
            layer.length = min(length, layer.length)
