"""Three bodies that agree, and documents that don't see each other."""

import warnings
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from trainer.model.attention import (
    AttentionSpec,
    Body,
    attention,
    causal,
    document_blocks,
    packed,
    within_documents,
)

# on a GPU torch's compiler warns of its own doings, which is no fault of a body
pytestmark = [pytest.mark.filterwarnings("ignore")] if torch.cuda.is_available() else []
HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def documents(*rows: list[int]) -> Tensor:
    """Rows of ids, from lengths of documents; a negative length is padding."""
    return torch.tensor(
        [[-1 if size < 0 else n for n, size in enumerate(sizes) for _ in range(abs(size))] for sizes in rows],
        dtype=torch.int32,
    )


PACKED = documents([30, 1, 69, 40], [140], [100, 20, -20], [-140])
LONG = documents([300, 150], [128, 256, 66], [10, 20, 350, -70], [450])
"""No multiple of 128; blocks of 128 that are one document's, several documents', and no business of each other."""


def heads(dtype: torch.dtype, kv_heads: int, length: int = 140) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v for four rows."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((4, 4, length, 16), (4, kv_heads, length, 16), (4, kv_heads, length, 16))
    q, k, v = (torch.randn(size, generator=generator, dtype=torch.float64).to(HERE, dtype) for size in sizes)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def reference(q: Tensor, k: Tensor, v: Tensor, ids: Tensor) -> Tensor:
    """Position by position, as the definition has it."""
    group = q.shape[1] // k.shape[1]
    out = torch.zeros_like(q)
    for row, head, place in torch.cartesian_prod(*(torch.arange(size) for size in q.shape[:3])).tolist():
        seen = [n for n in range(place + 1) if ids[row, n] == ids[row, place]]
        scores = (k[row, head // group, seen] @ q[row, head, place]) / q.shape[-1] ** 0.5
        out[row, head, place] = scores.softmax(0) @ v[row, head // group, seen]
    return out


def test_sdpa_and_plain_are_the_definition() -> None:
    q, k, v = (x.detach()[:, :, :45] for x in heads(torch.float64, 2))
    ids = documents([30, 1, 9, 5], [45], [20, 20, -5], [-45])
    expected = reference(q, k, v, ids)
    for body in ("sdpa", "plain"):
        spec = within_documents(ids.to(HERE), cast(Body, body), torch.float64)
        assert (attention(q, k, v, spec) - expected).abs().max() <= 1e-13


@pytest.fixture
def flex_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention's gradients on a CPU too, which only a check of devices refuses: the dense ones of its operator."""
    if HERE.type == "cpu":
        monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *heads: None)


@pytest.mark.usefixtures("flex_backward")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("ids", [PACKED, LONG, torch.zeros_like(PACKED), None], ids=["packed", "long", "one", "none"])
def test_outputs_and_gradients_agree(kv_heads: int, ids: Tensor | None) -> None:
    """SDPA and FlexAttention against plain; None: without a mask, which FlexAttention takes for one document."""
    length = 140 if ids is None else ids.shape[1]
    results = {}
    for body in ("plain", "sdpa", "flex"):
        if ids is not None or body == "flex":
            within = torch.zeros_like(PACKED) if ids is None else ids
            spec = within_documents(within.to(HERE), cast(Body, body), torch.float32)
        else:
            spec = causal(length, 0, cast(Body, body), torch.float32, HERE)
        q, k, v = heads(torch.float32, kv_heads, length)
        out = attention(q, k, v, spec)
        results[body] = (out.detach(), *torch.autograd.grad(out.square().sum(), (q, k, v)))
    for body in ("sdpa", "flex"):
        for found, expected in zip(results[body], results["plain"], strict=True):
            assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())), body


def changed_first(ids: Tensor, x: Tensor) -> Tensor:
    """x [rows, heads, seq, dim], other numbers in the first document of each row."""
    other = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(x)
    return torch.where((ids == 0)[:, None, :, None].to(x.device), 30 * other, x)


@pytest.mark.parametrize("body", ["sdpa", "plain", "flex"])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_another_document_changes_no_bit(body: Body, kv_heads: int) -> None:
    q, k, v = (x.detach() for x in heads(torch.float32, kv_heads))
    spec = within_documents(PACKED.to(HERE), body, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that flex runs eagerly on a CPU
        before = attention(q, k, v, spec)
        after = attention(*(changed_first(PACKED, x) for x in (q, k, v)), spec)
    others = (PACKED > 0)[:, None, :, None].expand_as(before).to(HERE)
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before, after)


@pytest.mark.parametrize("body", ["sdpa", "plain"])
@pytest.mark.parametrize(("kv_heads", "length"), [(4, 140), (2, 140), (1, 513), (4, 600)])
def test_a_mask_for_one_document_changes_no_bit(body: Body, kv_heads: int, length: int) -> None:
    """So that it doesn't show whether a row shared its batch with packed ones."""
    if HERE.type == "cuda":
        pytest.skip("a GPU has other kernels with a mask and without; this is promised for CPUs")
    q, k, v = (x.detach() for x in heads(torch.float32, kv_heads, length))
    ids = torch.zeros(4, length, dtype=torch.int32)
    masked = attention(q, k, v, within_documents(ids, body, torch.float32))
    assert torch.equal(masked, attention(q, k, v, causal(length, 0, body, torch.float32, HERE)))


@pytest.mark.parametrize("past", [0, 5, 100])
@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("body", ["sdpa", "plain", "flex"])
def test_queries_behind_a_cache_see_all_before_them(past: int, queries: int, body: Body) -> None:
    q, k, v = (x.detach()[:, :, : past + queries] for x in heads(torch.float64, 2))
    whole = reference(q, k, v, torch.zeros(4, past + queries))
    found = attention(q[:, :, past:], k, v, causal(queries, past, body, torch.float64, HERE))
    assert (found - whole[:, :, past:]).abs().max() <= 1e-13


def dense(ids: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (ids[row, query] == ids[row, key]) & (query >= key)

    return seen


@pytest.mark.parametrize("length", [1, 127, 128, 300, 1024])
def test_blocks_are_those_that_torch_finds_position_by_position(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    ids = (torch.rand(5, length, generator=generator) < 0.01).cumsum(1).to(torch.int32)
    ids[3] = 0
    ids[4, length // 2 :] = -1
    ours = document_blocks(ids)
    theirs = create_block_mask(dense(ids), 5, None, length, length, device="cpu")
    for keys in ("kv", "full_kv", "q", "full_q"):  # the forward pass goes by blocks of keys, the backward by both
        counts, indices = (getattr(ours, name) for name in (f"{keys}_num_blocks", f"{keys}_indices"))
        right, places = (getattr(theirs, name) for name in (f"{keys}_num_blocks", f"{keys}_indices"))
        assert torch.equal(counts, right), keys
        listed = torch.arange(indices.shape[-1]) < counts[..., None]
        assert torch.equal(torch.where(listed, indices, -1), torch.where(listed, places, -1)), keys
    assert ours.shape == theirs.shape


def test_packed_rows_are_told_from_single_documents() -> None:
    assert packed(PACKED) is True
    assert packed(documents([140], [100, -40], [-140])) is False


def test_a_spec_without_a_mask_is_a_triangle() -> None:
    assert causal(4, 0, "sdpa", torch.float32, HERE) == AttentionSpec("sdpa")
    assert causal(1, 4, "plain", torch.float32, HERE) == AttentionSpec("plain", triangle=False)
