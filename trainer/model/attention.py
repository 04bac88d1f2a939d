"""Causal attention with a mask of documents: one function, three bodies that agree.

- `sdpa`: torch's, whatever kernel it has for the device. Without documents it is told `is_causal` and reads no mask.
- `plain`: products and a softmax, to compare the others with, and where a formula wants to be seen.
- `flex`: FlexAttention, compiled; skips blocks of other documents. For a GPU: torch refuses its backward on a CPU.

A position never sees another document's: their scores are minus infinity, so that their weights are zeros exactly, and
outputs don't change by a bit whatever the other documents hold. On a CPU a row that holds one document has the same
bits with and without a mask, so whether its batch was masked doesn't show.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

Body = Literal["sdpa", "plain", "flex"]

BLOCK = 128
"""Positions of FlexAttention's blocks. Shorter rows are no work for it: torch 2.11 finds no kernel for some of them."""


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """How a forward pass attends; made once by `causal` or `within_documents` and shared by all layers."""

    body: Body = "sdpa"
    bias: Tensor | None = None
    """[rows or 1, 1, queries, keys]: 0 where a query sees a key, minus infinity where it doesn't."""
    blocks: BlockMask | None = None
    """flex's own mask."""
    triangle: bool = True
    """Without bias or blocks: query i sees keys up to i; False: every key."""


def causal(queries: int, past: int, body: Body, dtype: torch.dtype, device: torch.device) -> AttentionSpec:
    """Each query sees what came before: `past` keys from a cache, then the queries' own up to itself."""
    if queries == 1 or past == 0:
        return AttentionSpec("sdpa" if body == "flex" else body, triangle=past == 0)
    places = torch.arange(past + queries, device=device)
    return AttentionSpec("sdpa" if body == "flex" else body, _bias(places[None, None, past:, None] >= places, dtype))


def within_documents(documents: Tensor, body: Body, dtype: torch.dtype) -> AttentionSpec:
    """Each query sees what came before in its own document.

    Args:
      documents: [rows, seq], ids that rise along a row, -1 at the padding behind them (which sees itself).
      body: Which.
      dtype: That of the queries: a bias of another one is copied in every layer.
    """
    if body == "flex":
        return AttentionSpec(body, blocks=document_blocks(documents))
    places = torch.arange(documents.shape[1], device=documents.device)
    seen = (documents[:, :, None] == documents[:, None, :]) & (places[:, None] >= places)
    return AttentionSpec(body, _bias(seen[:, None], dtype))


def packed(documents: Tensor) -> bool:
    """Whether a row holds more than one document, so that a mask is needed. Not for use within a compiled graph."""
    return bool((documents > 0).any())


def document_blocks(documents: Tensor) -> BlockMask:
    """FlexAttention's mask of documents, worked out by block and not by position.

    Ids rise along a row, so a block of keys before a block of queries concerns it exactly if the keys' last document is
    the queries' first or later, and needs no look at positions if all of both is one document.
    """
    seq = documents.shape[1]
    ids = torch.where(documents < 0, torch.iinfo(documents.dtype).max, documents)
    ids = functional.pad(ids, (0, -seq % BLOCK), value=torch.iinfo(documents.dtype).max)
    first, last = ids[:, ::BLOCK], ids[:, BLOCK - 1 :: BLOCK]
    places = torch.arange(first.shape[1], device=ids.device)
    whole = (first[:, None, :] == last[:, :, None]) & (places[:, None] > places)
    part = (last[:, None, :] >= first[:, :, None]) & (places[:, None] >= places) & ~whole

    def seen(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (ids[row, query] == ids[row, key]) & (query >= key)

    return BlockMask.from_kv_blocks(
        *_listed(part), *_listed(whole), BLOCK_SIZE=BLOCK, mask_mod=seen, seq_lengths=(seq, seq)
    )


def attention(q: Tensor, k: Tensor, v: Tensor, spec: AttentionSpec) -> Tensor:
    """Softmax of the scaled products of queries and keys, times the values.

    Args:
      q: [rows, heads, queries, head_dim].
      k: [rows, kv_heads, keys, head_dim]; a head of theirs serves heads / kv_heads neighbouring heads of queries.
      v: As k.
      spec: Who sees whom, and which body.

    Returns:
      [rows, heads, queries, head_dim].
    """
    return _BODIES[spec.body](q, k, v, spec)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, spec: AttentionSpec) -> Tensor:
    if spec.bias is None:
        return functional.scaled_dot_product_attention(
            q, k, v, is_causal=spec.triangle, enable_gqa=q.shape[1] != k.shape[1]
        )
    # CUDA's kernel that takes a bias groups no heads, and the one it falls back on holds all scores
    return functional.scaled_dot_product_attention(q, _as_heads(k, q), _as_heads(v, q), attn_mask=spec.bias)


def _plain(q: Tensor, k: Tensor, v: Tensor, spec: AttentionSpec) -> Tensor:
    scores = q @ _as_heads(k, q).transpose(-1, -2) * q.shape[-1] ** -0.5
    if spec.bias is not None:
        scores = scores + spec.bias
    elif spec.triangle:
        unseen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(unseen, -torch.inf)
    shares: Tensor = scores.to(torch.promote_types(q.dtype, torch.float32)).softmax(-1).to(q.dtype)
    return shares @ _as_heads(v, q)


def _flex(q: Tensor, k: Tensor, v: Tensor, spec: AttentionSpec) -> Tensor:
    # within a compiled model it is compiled already
    body = flex_attention if torch.compiler.is_compiling() or not q.is_cuda else _compiled_flex()
    return cast(Tensor, body(q, k, v, block_mask=spec.blocks, enable_gqa=q.shape[1] != k.shape[1]))


_BODIES: dict[str, Callable[[Tensor, Tensor, Tensor, AttentionSpec], Tensor]] = {
    "sdpa": _sdpa,
    "plain": _plain,
    "flex": _flex,
}


@functools.cache
def _compiled_flex() -> Any:
    return torch.compile(flex_attention, dynamic=False)


def _as_heads(x: Tensor, q: Tensor) -> Tensor:
    """Keys or values repeated, so that there are as many heads of them as of queries."""
    return x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) if q.shape[1] != x.shape[1] else x


def _bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where seen, else minus infinity: made once, where a boolean mask would be turned into this in every layer."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """[rows, queries, keys] -> how many blocks of keys each block of queries has, and which, those first."""
    order = blocks.to(torch.int32).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[:, None], order.to(torch.int32)[:, None]
