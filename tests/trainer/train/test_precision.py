import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.train.precision import autocast, make_deterministic, threads_for

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_cpu_computes_in_float32(precision: str) -> None:
    with autocast(torch.device("cpu"), precision):  # type: ignore[arg-type]
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("asked", "compiled", "device", "expected"),
    [
        (False, False, "cpu", False),
        (True, False, "cpu", True),
        (False, True, "cpu", True),
        (False, True, "cuda", False),
        (True, True, "cuda", True),
    ],
)
def test_deterministic(
    monkeypatch: pytest.MonkeyPatch, asked: bool, compiled: bool, device: str, expected: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        make_deterministic(torch.device(device), asked, compiled)
        assert torch.are_deterministic_algorithms_enabled() is expected
    finally:
        torch.use_deterministic_algorithms(False)


COMPILED = """
import copy, sys, warnings
import torch
from trainer.train.precision import compile_model, make_deterministic
from tests.trainer.train.toys import Toy
make_deterministic(torch.device("cpu"), False, True)
torch.set_num_threads(2)
model = Toy()
plain = copy.deepcopy(model)
compile_model(model)
def gradients(model, seq):
    model.zero_grad()
    ids = torch.arange(12 * 256 * seq).view(-1, seq) % 13
    model(ids).log_softmax(-1)[..., 0].sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]
for seq in (4, 6, 4):
    eager, first = gradients(plain, seq), gradients(model, seq)
    for _ in range(5):
        assert all(map(torch.equal, first, gradients(model, seq))), "other bits"
    for one, other in zip(eager, first):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
assert list(model.state_dict()) == list(plain.state_dict())
from torch._dynamo.utils import counters
print(counters["stats"]["unique_graphs"], torch._dynamo.config.recompile_limit)
"""


def test_a_compiled_model_repeats_its_bits() -> None:
    """A graph for each of two lengths, and the same gradient every time, with two threads."""
    command = [sys.executable, "-c", COMPILED]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["2", "64"]


def test_a_small_model_gets_one_thread() -> None:
    """On a CPU; whoever trains gets back what was."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for device, parameters, threads in (("cpu", 10**5, 1), ("cpu", 10**7, 2), ("cuda", 10**5, 2)):
            with threads_for(torch.device(device), parameters):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
