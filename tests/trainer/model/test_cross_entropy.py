"""Chunked losses held to torch's own over all logits."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainer.model.cross_entropy import chunk_size, cross_entropy, score, token_losses


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden [3, 37, 24], weight [101, 24], targets, weights, some of them 0."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 37, 24, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(101, 24, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(0, 101, (3, 37), generator=generator)
    weights = torch.rand(3, 37, generator=generator) * (torch.rand(3, 37, generator=generator) < 0.7)
    return hidden, weight, targets, weights


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Each position's loss, all logits at once."""
    logits = functional.linear(hidden, weight)
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)


@pytest.mark.parametrize("chunk", [1, 7, 37, 64, 111, 1000, None])
def test_sum_count_and_gradients_are_those_of_all_logits(chunk: int | None) -> None:
    hidden, weight, targets, weights = case()
    total, count = cross_entropy(hidden, weight, targets, weights, chunk)
    expected = (plain(hidden, weight, targets) * weights).sum()
    assert total.dtype == count.dtype == torch.float64
    assert abs(total - expected) <= 1e-10
    assert abs(count - weights.double().sum()) == 0
    found = torch.autograd.grad(total / count, (hidden, weight))
    for gradient, right in zip(found, torch.autograd.grad(expected / count, (hidden, weight)), strict=True):
        assert (gradient - right).abs().max() <= 1e-12


@pytest.mark.parametrize("chunk", [5, 111])
def test_losses_of_positions_and_their_gradients(chunk: int) -> None:
    hidden, weight, targets, weights = case()
    losses, expected = token_losses(hidden, weight, targets, chunk), plain(hidden, weight, targets)
    assert losses.shape == targets.shape
    assert (losses - expected).abs().max() <= 1e-10
    found = torch.autograd.grad((losses.square() * weights).sum(), (hidden, weight))
    right = torch.autograd.grad((expected.square() * weights).sum(), (hidden, weight))
    for gradient, other in zip(found, right, strict=True):
        assert (gradient - other).abs().max() <= 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_what_a_gpu_compiles_scores_the_same(dtype: torch.dtype) -> None:
    hidden, weight, targets, weights = case()
    logits = (hidden @ weight.T).flatten(0, 1).detach().to(dtype).requires_grad_()
    scale = weights.flatten()
    wide = logits.to(torch.promote_types(dtype, torch.float32))
    expected = functional.cross_entropy(wide, targets.flatten(), reduction="none")
    (right,) = torch.autograd.grad((expected * scale).sum(), logits)
    losses, of_logits = score(logits.detach(), targets.flatten(), scale)
    assert of_logits is not None
    assert (losses.dtype, of_logits.dtype) == (expected.dtype, dtype)
    assert (losses - expected).abs().max() <= (1e-13 if dtype == torch.float64 else 1e-5)
    bound = {torch.float64: 1e-15, torch.float32: 1e-6, torch.bfloat16: 2**-8}[dtype]
    assert (of_logits - right).abs().max() <= bound
    assert score(logits.detach(), targets.flatten(), None)[1] is None


def test_float32_is_scored_in_float32_and_summed_in_float64() -> None:
    hidden, weight, targets, weights = case(torch.float32)
    total, count = cross_entropy(hidden, weight, targets, weights)
    assert (total.dtype, count.dtype, token_losses(hidden, weight, targets).dtype) == (
        torch.float64, torch.float64, torch.float32,
    )  # fmt: skip
    exact = (plain(hidden.double(), weight.double(), targets) * weights).sum()
    assert abs(total - exact) <= 1e-5 * exact
    total.backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.float32


def test_under_autocast_products_are_narrow_and_scores_wide() -> None:
    hidden, weight, targets, weights = case(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = cross_entropy(hidden, weight, targets, weights, 16)
        losses = token_losses(hidden, weight, targets, 16)
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float()
    expected = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(3, 37)
    assert losses.dtype == torch.float32
    assert (losses - expected).abs().max() <= 1e-5
    assert abs(total - (expected * weights).sum()) <= 1e-4
    total.backward()
    exact = torch.autograd.grad((plain(hidden, weight, targets) * weights).sum(), (hidden, weight))
    for gradient, right in zip((hidden.grad, weight.grad), exact, strict=True):
        assert gradient is not None
        assert gradient.dtype == torch.float32
        assert (gradient - right).abs().max() <= 0.03 * right.abs().max()


def test_a_hopeless_loss_is_a_number() -> None:
    """The probability of the target is below anything that float32 holds."""
    hidden, weight = torch.ones(1, 1, requires_grad=True), torch.tensor([[0.0], [500.0]], requires_grad=True)
    total, _ = cross_entropy(hidden, weight, torch.tensor([0]), torch.ones(1))
    total.backward()
    assert total == 500
    assert hidden.grad == 500
    assert weight.grad.flatten().tolist() == [-1, 1]


def test_without_gradients_none_are_worked_out() -> None:
    hidden, weight, targets, weights = case()
    with torch.no_grad():
        total, _ = cross_entropy(hidden, weight, targets, weights)
    assert not total.requires_grad
    assert total == cross_entropy(hidden, weight, targets, weights)[0]
    frozen, _ = cross_entropy(hidden, weight.detach(), targets, weights)
    frozen.backward()
    assert hidden.grad is not None


def test_a_second_backward_pass_is_refused() -> None:
    hidden, weight, targets, weights = case()
    total, _ = cross_entropy(hidden, weight, targets, weights)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="given out already"):
        total.backward()


def test_the_same_bits_every_time() -> None:
    def gradients() -> list[Tensor]:
        hidden, weight, targets, weights = case(torch.float32)
        total, _ = cross_entropy(hidden, weight, targets, weights, 16)
        return [total, *torch.autograd.grad(total, (hidden, weight))]

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))


@pytest.mark.parametrize(
    ("vocab_size", "device", "positions"),
    [(512, "cpu", 8192), (50_304, "cpu", 256), (50_304, "cuda", 5248), (256_000, "cuda", 1024)],
)
def test_chunks_are_of_bounded_size(vocab_size: int, device: str, positions: int) -> None:
    assert chunk_size(vocab_size, device) == positions
