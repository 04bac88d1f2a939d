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
    checkpoint: int
    """The copy that checkpoints are written from, where the device is the host; else 0."""
    host: int
    """That copy on the first rank's host, where the device is a GPU; else 0. The only part outside the device."""

    @property
    def total(self) -> int:
        """Of the device at the peak: behind the forward pass, in the backward pass, or at the update."""
        held = self.weights + self.gradients + self.optimizer + self.copies + self.checkpoint
        return held + max(self.activations + max(self.loss, self.working), self.update)

    def __str__(self) -> str:
        sizes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "host"}
        return f"{in_words(self.total)} ({', '.join(f'{part} {in_words(size)}' for part, size in sizes.items())})"


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
    copied = _copied(shape, setting)
    return Memory(
        weights=4 * parameters.total,
        gradients=4 * parameters.total,
        optimizer=8 * by_adamw + 4 * (parameters.total - by_adamw),
        copies=(8 * setting.average + 4 * setting.reference) * parameters.total,
        activations=_activations(shape, setting, rows, seq_len),
        loss=_loss(shape, setting, rows * seq_len),
        working=_working(shape, setting, rows, seq_len),
        update=_muon_step(shape, setting) if setting.optimizer == "muon" else 0,
        checkpoint=copied if setting.device == "cpu" else 0,
        host=0 if setting.device == "cpu" else copied,
    )


def largest_micro_batch_size(shape: Shape, setting: Setting, room: Room, *, seq_len: int, at_most: int) -> int:
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


def check(shape: Shape, setting: Setting, room: Room, *, rows: int, seq_len: int, host: Room | None = None) -> Memory:
    """What training takes, which must be free; to be asked before the model is on the device.

    Args:
      shape: The model's.
      setting: How it is trained.
      room: Of the device.
      rows: That go through the model at once.
      seq_len: Positions of a row.
      host: Of the host of a GPU, for the rank that writes checkpoints.

    Raises:
      TrainerError: The device or the host has not so much, with every part of it.
    """
    found = estimate(shape, setting, rows=rows, seq_len=seq_len)
    if found.total > room.free:
        raise _too_large(found, rows, seq_len, room.free, room)
    if host is not None and found.host > host.free:
        raise TrainerError(
            f"checkpoints are written from a pinned copy of {in_words(found.host)} in the host's memory, and "
            f"{host.where} has {in_words(host.free)} for it, though {room.where} has enough for training; free some, "
            "take a smaller model, or a host with more memory"
        )
    return found


def in_words(count: int) -> str:
    """Bytes in words."""
    unit, each = next(((u, s) for u, s in (("GiB", 2**30), ("MiB", 2**20)) if count >= s), ("KiB", 2**10))
    return f"{count / each:.2f} {unit}"


def _too_large(found: Memory, rows: int, seq_len: int, there_is: int, room: Room) -> TrainerError:
    return TrainerError(
        f"{rows!r} rows of {seq_len!r} positions need {found}, {room.where} has {in_words(there_is)} for it; set "
        "micro_batch_size lower, checkpoint_activations=true, a shorter seq_len or a smaller model, or take a larger "
        "device"
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
    narrow = setting.width if setting.width < 4 else 0
    shares = 4 if narrow and setting.body != "flex" else 0  # what is not compiled holds probabilities too, in float32
    logits = chunk * shape.vocab_size * (2 * setting.width + shares)  # and their gradients
    weights = shape.vocab_size * shape.dim * (4 + 2 * narrow)  # the gradient; weights, and what a chunk adds, narrow
    return logits + weights + 2 * positions * shape.dim * setting.width


def _copied(shape: Shape, setting: Setting) -> int:
    """Weights, optimizer, average and reference once more, as `trainer.train.writer` copies them."""
    parameters = shape.parameters
    held = [4] + [8] * setting.average + [4] * setting.reference  # bytes of a parameter in each of its tensors
    by_adamw, by_muon = [*held, 4, 4], [*held, 4]
    moved = by_muon if setting.optimizer == "muon" else by_adamw
    tensors = [(size, count, moved) for size, count in _matrices(shape).items()]
    tensors += [(size, 1, by_adamw) for size in (parameters.embedding, parameters.positions, parameters.output)]
    vectors = parameters.vectors * sum(by_adamw)  # of which no one takes much
    return vectors + sum(
        count * _allocated(size * width, setting) for size, count, widths in tensors for width in widths
    )


def _allocated(count: int, setting: Setting) -> int:
    """What so many bytes take of the host: torch rounds pinned memory up to a power of two, to use it again."""
    return count if setting.device == "cpu" or not count else 1 << (count - 1).bit_length()


def _matrices(shape: Shape) -> Counter[int]:
    """Elements of a block's matrix -> how many such there are in all blocks."""
    d, f, kv = shape.dim, shape.ffn_dim, shape.kv_dim
    sizes = Counter({d * d: 2 * shape.layers})
    sizes[d * kv] += 2 * shape.layers
    sizes[d * f] += (3 if shape.family.gated else 2) * shape.layers
    return sizes


def _muon_step(shape: Shape, setting: Setting) -> int:
    """Momentum ahead, stacked; the iteration's five terms; the direction in float32: of the most that go together."""
    sizes = _matrices(shape)
    width = 4 if setting.device == "cpu" else 2
    most = max(min(count, max(1, _MUON_TOGETHER // size)) * size for size, count in sizes.items())
    return most * (4 + 4 + 5 * width + 4)
