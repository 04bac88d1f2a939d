"""What training takes of memory, by part, and how many rows fit at once.

The activations are those that autograd keeps when the decoder runs eagerly; a compiled graph keeps fewer. Measured
against torch's own accounts by `tests/trainer/model/test_memory.py`.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from trainer.errors import TrainerError
from trainer.model.attention import Body
from trainer.model.cross_entropy import chunk_size
from trainer.model.room import Room
from trainer.model.shape import Shape

_MUON_TOGETHER = 2**27
"""Elements of matrices that Muon moves at once (`trainer.optim.muon`)."""
_USABLE = 0.92
"""Of a device's memory: the rest goes to its context, libraries' workspaces and gaps between tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What decides about memory beside the shape and the rows."""

    device: str = "cuda"
    """Its type."""
    precision: Literal["float32", "bf16"] = "bf16"
    """Of activations; weights, gradients and optimizer state are float32."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    checkpoint_activations: bool = False
    body: Body = "sdpa"
    masked: bool = True
    """Rows hold several documents, so that a mask is needed."""
    average: bool = False
    """A Polyak average is kept, float64."""
    reference: bool = False
    """A second model is kept without gradients, as DPO does."""

    @property
    def width(self) -> int:
        """Bytes of an activation."""
        return 2 if self.precision == "bf16" and self.device != "cpu" else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by part."""

    weights: int
    gradients: int
    optimizer: int
    copies: int
    """Polyak average and reference model."""
    activations: int
    """What the forward pass keeps for the backward pass."""
    loss: int
    """A chunk of logits, and the gradients of hidden states and output weights."""
    working: int
    """What a block's backward pass works in; with checkpointing that holds the block's activations."""
    update: int
    """What an optimizer step works in."""

    @property
    def total(self) -> int:
        """At the peak: behind the forward pass, in the backward pass, or at the update."""
        held = self.weights + self.gradients + self.optimizer + self.copies
        return held + max(self.activations + max(self.loss, self.working), self.update)

    def __str__(self) -> str:
        parts = [f"{field.name} {in_words(getattr(self, field.name))}" for field in dataclasses.fields(self)]
        return f"{in_words(self.total)} ({', '.join(parts)})"


def estimate(shape: Shape, setting: Setting, *, rows: int, seq_len: int) -> Memory:
    """What training takes.

    Args:
      shape: The model's.
      setting: How it is trained.
      rows: That go through the model at once.
      seq_len: Positions of a row.
    """
    parameters = shape.parameters
    by_adamw = parameters.total - (parameters.matrices if setting.optimizer == "muon" else 0)
    return Memory(
        weights=4 * parameters.total,
        gradients=4 * parameters.total,
        optimizer=8 * by_adamw + 4 * (parameters.total - by_adamw),
        copies=(8 * setting.average + 4 * setting.reference) * parameters.total,
        activations=_activations(shape, setting, rows, seq_len),
        loss=_loss(shape, setting, rows * seq_len),
        working=_working(shape, setting, rows, seq_len),
        update=_muon_step(shape, setting) if setting.optimizer == "muon" else 0,
    )


def largest_micro_rows(shape: Shape, setting: Setting, room: Room, *, seq_len: int, at_most: int) -> int:
    """Rows that go through the model at once: as many as the device holds, in equal shares of `at_most`.

    It depends on the device's whole memory, not on what happens to be free, so that a run that is gone on with sums up
    in the same order.

    Raises:
      TrainerError: Not even one row fits.
    """
    usable = int(room.total * _USABLE)
    fitting, too_many = 0, at_most + 1
    while too_many - fitting > 1:
        rows = (fitting + too_many) // 2
        if estimate(shape, setting, rows=rows, seq_len=seq_len).total <= usable:
            fitting = rows
        else:
            too_many = rows
    if not fitting:
        raise _too_large(estimate(shape, setting, rows=1, seq_len=seq_len), 1, seq_len, usable, room)
    passes = -(-at_most // fitting)
    return -(-at_most // passes)


def check(shape: Shape, setting: Setting, room: Room, *, rows: int, seq_len: int) -> Memory:
    """What training takes, which must be free; to be asked before the model is on the device.

    Raises:
      TrainerError: It is not, with every part of it.
    """
    found = estimate(shape, setting, rows=rows, seq_len=seq_len)
    if found.total > room.free:
        raise _too_large(found, rows, seq_len, room.free, room)
    return found


def in_words(count: int) -> str:
    """Bytes in words."""
    unit, each = next(((u, s) for u, s in (("GiB", 2**30), ("MiB", 2**20)) if count >= s), ("KiB", 2**10))
    return f"{count / each:.2f} {unit}"


def _too_large(found: Memory, rows: int, seq_len: int, there_is: int, room: Room) -> TrainerError:
    return TrainerError(
        f"{rows!r} rows of {seq_len!r} positions need {found}, {room.where} has {in_words(there_is)} for it; set "
        "micro_rows lower, checkpoint_activations=true, a shorter seq_len or a smaller model, or take a larger device"
    )


def _activations(shape: Shape, setting: Setting, rows: int, seq_len: int) -> int:
    positions, width = rows * seq_len, setting.width
    entry = positions * width * shape.dim
    block = entry if setting.checkpoint_activations else _block(shape, setting, rows, seq_len)
    masked = setting.masked and setting.body != "flex"
    mask = rows * seq_len * seq_len * width if masked else 0
    return shape.layers * block + mask + entry + 8 * positions


def _working(shape: Shape, setting: Setting, rows: int, seq_len: int) -> int:
    """Gradients of a block's widest tensors, and of the stream."""
    positions, width = rows * seq_len, setting.width
    ffn = positions * width * ((2 if shape.family.gated else 1) * shape.ffn_dim + 2 * shape.dim)
    scores = 2 * positions * shape.heads * seq_len * width if setting.body == "plain" else 0
    again = _block(shape, setting, rows, seq_len) if setting.checkpoint_activations else 0
    return again + max(ffn, scores)


def _block(shape: Shape, setting: Setting, rows: int, seq_len: int) -> int:
    """What a layer's operations keep for their gradients, weights in the dtype of products included."""
    width = setting.width
    casts = width * shape.dim * (shape.dim + 2 * shape.kv_dim)  # the matrix of queries, keys and values is joined
    if width == 2:
        casts = width * shape.parameters.matrices // shape.layers
    return rows * seq_len * _kept_by_block(shape, setting, seq_len) + casts


def _kept_by_block(shape: Shape, setting: Setting, seq_len: int) -> int:
    """Bytes for each position: what a layer's operations keep for their gradients."""
    d, f, kv, width = shape.dim, shape.ffn_dim, shape.kv_dim, setting.width
    if shape.family.gated:
        norms = 2 * (2 * d + 1)  # input, and what it is after division
        heads = 4 * d + 4 * kv  # queries, turned and not; keys, both; values; output and its copy
        ffn = 4 * f
    else:
        norms, heads, ffn = 2 * (d + 2), 4 * d, 2 * f
    kept = width * (2 * d + heads + ffn) + 4 * (norms + shape.heads)  # norms work in float32
    return kept + width * shape.heads * seq_len if setting.body == "plain" else kept


def _loss(shape: Shape, setting: Setting, positions: int) -> int:
    chunk = min(chunk_size(shape.vocab_size, setting.device), positions)
    logits = chunk * shape.vocab_size * (4 + setting.width + (setting.width if setting.width < 4 else 0))
    weights = shape.vocab_size * shape.dim * (4 + (setting.width if setting.width < 4 else 0))
    return logits + weights + 2 * positions * shape.dim * setting.width


def _muon_step(shape: Shape, setting: Setting) -> int:
    """Momentum ahead, stacked; the iteration's five terms; the direction in float32: of the most that go together."""
    d, f, kv = shape.dim, shape.ffn_dim, shape.kv_dim
    sizes = Counter({d * d: 2 * shape.layers})
    sizes[d * kv] += 2 * shape.layers
    sizes[d * f] += (3 if shape.family.gated else 2) * shape.layers
    width = 4 if setting.device == "cpu" else 2
    most = max(min(count, max(1, _MUON_TOGETHER // size)) * size for size, count in sizes.items())
    return most * (4 + 4 + 5 * width + 4)
