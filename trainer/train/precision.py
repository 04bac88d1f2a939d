"""How products are computed: bfloat16 where the recipe and the device allow, compiled, to the bit where asked."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch import nn

_ONE_THREAD = 2**20
"""Parameters below which a second thread costs more than it does."""
_GRAPHS = 64
"""Shapes of batches a compiled function may meet before it falls back to running eagerly; torch's own limit is 8."""


def autocast(device: torch.device, precision: Literal["float32", "bf16"]) -> AbstractContextManager[object]:
    """The context of a forward pass: weights stay float32, products are bfloat16 on a GPU if the recipe says so."""
    wanted = precision == "bf16" and device.type == "cuda"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


@contextmanager
def threads_for(device: torch.device, parameters: int) -> Iterator[None]:
    """On a CPU a small model gets one thread: more would spend their time waiting for each other.

    Its losses have the same bits then on any number of cores.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and parameters < _ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_deterministic(device: torch.device, deterministic: bool, compiled: bool) -> None:
    """Chooses algorithms that give the same bits every time.

    On a CPU eager code always does; compiled code sums gradients in the order in which threads finish, unless told.
    On a GPU it costs speed, so it is asked for. To be called before the device is used.
    """
    wanted = deterministic or (compiled and device.type == "cpu")
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses to be deterministic without
    torch.use_deterministic_algorithms(wanted)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def compile_model(model: nn.Module) -> None:
    """Compiles the model in place: a graph for each shape of its inputs, made when that shape first comes."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _GRAPHS)
    model.compile(dynamic=False)
