from fractions import Fraction

import torch
from torch import nn

from trainer.train.average import Average


def test_every_step_weighs_the_same() -> None:
    net = nn.Linear(3, 2)
    average = Average(net)
    seen: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        with torch.no_grad():
            net.weight.copy_(torch.randn(2, 3, generator=generator))
        average.update()
        seen.append(net.weight.detach().clone())
    exact = [float(sum(Fraction(float(step.flatten()[at])) for step in seen) / 50) for at in range(6)]
    mean = average.tensors()["weight"]
    assert average.steps == 50
    assert mean.dtype == torch.float64
    torch.testing.assert_close(mean.flatten(), torch.tensor(exact, dtype=torch.float64), rtol=1e-13, atol=1e-15)
    other = nn.Linear(3, 2)
    average.write_into(other)
    assert torch.equal(other.weight, torch.tensor(exact, dtype=torch.float32).view(2, 3))


def test_goes_on_from_its_tensors() -> None:
    net = nn.Linear(2, 2)
    whole = Average(net)
    for _ in range(3):
        whole.update()
    resumed = Average(net, whole.steps)
    for name, tensor in resumed.tensors().items():
        tensor.copy_(whole.tensors()[name])
    with torch.no_grad():
        net.weight.add_(1)
    whole.update()
    resumed.update()
    assert torch.equal(whole.tensors()["weight"], resumed.tensors()["weight"])
    assert resumed.steps == 4


def test_of_no_step_there_is_none() -> None:
    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    before = other.weight.detach().clone()
    average = Average(net)
    average.write_into(other)
    assert torch.equal(other.weight, before)
    assert average.tensors() == {}
