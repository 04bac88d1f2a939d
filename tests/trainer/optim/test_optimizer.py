import pytest
import torch
from torch import Tensor, nn

from schemas.training import OptimizerSpec
from trainer.optim.groups import group
from trainer.optim.muon import Muon, orthogonalise
from trainer.optim.optimizer import Optimizer


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(12, 8)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 24), nn.Linear(24, 8)])
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 12, bias=False)
        self.to(dtype)

    def give_gradients(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


VECTORS = {"blocks.0.bias", "blocks.1.bias", "blocks.2.bias", "norm.weight", "norm.bias"}
BLOCKS = {"blocks.0.weight", "blocks.1.weight", "blocks.2.weight"}


def test_groups() -> None:
    adamw, muon = group(Net(), OptimizerSpec()), group(Net(), OptimizerSpec(name="muon"))
    assert (set(adamw.orthogonal), set(adamw.plain)) == (set(), VECTORS)
    assert set(adamw.decayed) == {"embedding.weight", "head.weight", *BLOCKS}
    assert (set(muon.orthogonal), set(muon.plain)) == (BLOCKS, VECTORS)
    assert set(muon.decayed) == {"embedding.weight", "head.weight"}


def test_frozen_and_tied_weights() -> None:
    net = Net()
    net.head.weight = net.embedding.weight
    net.norm.requires_grad_(False)
    groups = group(net, OptimizerSpec())
    assert set(groups.decayed) == {"embedding.weight", *BLOCKS}
    assert set(groups.plain) == VECTORS - {"norm.weight", "norm.bias"}


def test_adamw_is_the_formula() -> None:
    spec = OptimizerSpec(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.5)
    net, twin = Net(), Net()
    optimizer = Optimizer(net, spec)
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    for step, lr in enumerate([0.1, 0.05, 0.2], 1):
        net.give_gradients(step)
        twin.give_gradients(step)
        optimizer.step(lr)
        for name, weight in twin.named_parameters():
            gradient = weight.grad
            first, second = moments.get(name, (torch.zeros_like(weight), torch.zeros_like(weight)))
            first, second = 0.8 * first + 0.2 * gradient, 0.9 * second + 0.1 * gradient**2
            moments[name] = first, second
            decay = 1 - lr * 0.5 if weight.ndim > 1 else 1.0
            away = (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)).sqrt() + 1e-6)
            weight.data = weight.data * decay - lr * away
    for (name, found), (_, expected) in zip(net.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=name)


def test_muon_is_the_formula() -> None:
    spec = OptimizerSpec(name="muon", weight_decay=0.5, momentum=0.9, muon_lr=3.0)
    net, twin = Net(), Net()
    optimizer = Optimizer(net, spec)
    means: dict[str, Tensor] = {}
    for step, lr in enumerate([0.1, 0.05, 0.2], 1):
        net.give_gradients(step)
        twin.give_gradients(step)
        optimizer.step(lr)
        for name, weight in twin.named_parameters():
            if name not in BLOCKS:
                continue
            means[name] = 0.9 * means.get(name, torch.zeros_like(weight)) + 0.1 * weight.grad
            x = 0.1 * weight.grad + 0.9 * means[name]
            x = x / x.norm()
            for _ in range(5):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            weight.data = weight.data * (1 - 3 * lr * 0.5) - 3 * lr * 0.2 * max(weight.shape) ** 0.5 * x
    for name in BLOCKS:
        torch.testing.assert_close(net.get_parameter(name), twin.get_parameter(name), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 40), (2, 40, 16), (1, 1, 5)])
def test_orthogonal_keeps_the_directions(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = orthogonalise(x)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    values = u.mT @ found @ vt.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    large = s > 0.05 * s[..., :1]  # five steps do not lift the smallest all the way
    assert found.shape == x.shape
    assert ((diagonal > 0.6) & (diagonal < 1.25))[large].all()
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-10


def test_muon_agrees_with_torch_to_bfloat16() -> None:
    ours, theirs = nn.Parameter(torch.eye(16)), nn.Parameter(torch.eye(16))
    muon = Muon([ours], 0.1, 0.95, 0.1)
    other = torch.optim.Muon([theirs], lr=0.1, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for seed in range(4):
        gradient = torch.randn(16, 16, generator=torch.Generator().manual_seed(seed))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        other.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.1 * 0.2 * 4 * 0.02 * 4)


def test_muon_takes_matrices_only() -> None:
    with pytest.raises(ValueError, match=r"not a parameter of shape \(3,\)"):
        Muon([nn.Parameter(torch.zeros(3))], 0.1, 0.9, 0.0)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_goes_by_names_and_restores(name: str) -> None:
    spec = OptimizerSpec(name=name)
    net, twin = Net(torch.float32), Net(torch.float32)
    optimizer, other = Optimizer(net, spec), Optimizer(twin, spec)
    for step in range(3):
        net.give_gradients(step)
        optimizer.step(0.1)
    twin.load_state_dict(net.state_dict())
    for key, tensor in other.tensors().items():
        tensor.copy_(optimizer.tensors()[key])
    net.give_gradients(9)
    twin.give_gradients(9)
    optimizer.step(0.1)
    other.step(0.1)
    for found, expected in zip(twin.parameters(), net.parameters(), strict=True):
        assert torch.equal(found, expected)
    keys = {key for key in optimizer.tensors() if key.endswith("/blocks.1.weight")}
    assert keys == ({"momentum/blocks.1.weight"} if name == "muon" else {
        "step/blocks.1.weight", "exp_avg/blocks.1.weight", "exp_avg_sq/blocks.1.weight"
    })  # fmt: skip


def test_reset_forgets() -> None:
    net, twin = Net(), Net()
    optimizer, fresh = Optimizer(net, OptimizerSpec(name="muon")), Optimizer(twin, OptimizerSpec(name="muon"))
    net.give_gradients(1)
    optimizer.step(0.1)
    optimizer.reset()
    assert all(not tensor.any() for tensor in optimizer.tensors().values())
    twin.load_state_dict(net.state_dict())
    net.give_gradients(2)
    twin.give_gradients(2)
    optimizer.step(0.1)
    fresh.step(0.1)
    for found, expected in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(found, expected)
