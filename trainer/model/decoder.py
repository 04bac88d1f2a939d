"""The decoder: GPT-2, Llama 3.1 and Qwen 2, which differ in what `shape.Family` lists and nowhere else.

    logits = decoder.logits(decoder(tokens))

Float64 weights compute in float64 throughout. Under autocast activations are of its dtype; norms, rotations and the
softmax are worked out in float32 at least.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from schemas.training import ModelSpec, RopeScaling
from trainer.errors import TrainerError
from trainer.model import rope
from trainer.model.attention import BLOCK, AttentionSpec, Body, attention, causal, within_documents
from trainer.model.cache import KeyValueCache, LayerCache
from trainer.model.shape import Shape

INIT_STD = 0.02
"""Of the normal distribution that weights are drawn from: GPT-2's, and Llama's and Qwen's `initializer_range`."""

_Rotation = tuple[Tensor, Tensor] | None


class Linear(nn.Linear):
    """A linear map whose weights only `Decoder.initialise` draws: torch's own start draws on the global generator."""

    def reset_parameters(self) -> None:
        """Leaves them unset."""


class Embedding(nn.Embedding):
    """A table whose weights only `Decoder.initialise` draws."""

    def reset_parameters(self) -> None:
        """Leaves them unset."""


class Norm(nn.Module):
    """LayerNorm with weight and bias, or RMSNorm with a weight, in float32 at least."""

    def __init__(self, dim: int, eps: float, *, centred: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if centred else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> the same, in x's dtype."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        weight = self.weight.to(wide.dtype)
        if self.bias is None:
            return functional.rms_norm(wide, weight.shape, weight, self.eps).to(x.dtype)
        return functional.layer_norm(wide, weight.shape, weight, self.bias.to(wide.dtype), self.eps).to(x.dtype)


class SelfAttention(nn.Module):
    """Queries, keys and values of x, and the map of what they give back into the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        bias = shape.family.qkv_bias
        self.query = Linear(shape.dim, shape.dim, bias=bias)
        self.key = Linear(shape.dim, shape.kv_dim, bias=bias)
        self.value = Linear(shape.dim, shape.kv_dim, bias=bias)
        self.output = Linear(shape.dim, shape.dim, bias=shape.family.bias)

    def forward(self, x: Tensor, turned_by: _Rotation, spec: AttentionSpec, cache: LayerCache | None) -> Tensor:
        """[rows, seq, dim] -> the same."""
        maps = (self.query, self.key, self.value)
        # one product is quicker than three; the matrices stay apart, for Muon makes each orthogonal for itself
        bias = torch.cat([part.bias for part in maps]) if self.query.bias is not None else None
        together = functional.linear(x, torch.cat([part.weight for part in maps]), bias)
        parts = torch.split(together, [part.out_features for part in maps], dim=-1)
        q, k, v = (part.view(*x.shape[:2], -1, self.head_dim) for part in parts)
        if turned_by is not None:
            q, k = rope.rotate(q, turned_by), rope.rotate(k, turned_by)
        # positions stay outermost in memory, which attention on a GPU keeps, so that nothing is copied behind it
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(k, v)
        return cast(Tensor, self.output(attention(q, k, v, spec).transpose(1, 2).reshape(x.shape)))


class FeedForward(nn.Module):
    """SwiGLU, or two maps with a GELU between them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        bias = shape.family.bias
        self.gate = Linear(shape.dim, shape.ffn_dim, bias=bias) if shape.family.gated else None
        self.up = Linear(shape.dim, shape.ffn_dim, bias=bias)
        self.down = Linear(shape.ffn_dim, shape.dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, seq, dim] -> the same."""
        if self.gate is None:
            return cast(Tensor, self.down(functional.gelu(self.up(x), approximate="tanh")))
        return cast(Tensor, self.down(functional.silu(self.gate(x)) * self.up(x)))


class Block(nn.Module):
    """One layer: attention and a feed-forward net, each behind a norm and added to the stream."""

    def __init__(self, shape: Shape, eps: float) -> None:
        super().__init__()
        self.attention_norm = Norm(shape.dim, eps, centred=shape.family.centred_norm)
        self.attention = SelfAttention(shape)
        self.ffn_norm = Norm(shape.dim, eps, centred=shape.family.centred_norm)
        self.ffn = FeedForward(shape)

    def forward(self, x: Tensor, turned_by: _Rotation, spec: AttentionSpec, cache: LayerCache | None) -> Tensor:
        """[rows, seq, dim] -> the same."""
        x = x + self.attention(self.attention_norm(x), turned_by, spec, cache)
        return cast(Tensor, x + self.ffn(self.ffn_norm(x)))


class Decoder(nn.Module):
    """A language model.

    Args:
      spec: Its shape.
      vocab_size: Rows of the embedding.
      generator: Draws the initial weights, on the CPU and in float32, so that they depend on it alone; None: one
        seeded with 0.
      checkpoint_activations: Keeps only what goes into a block, and computes the rest again in the backward pass.
      body: Which attention; None: FlexAttention for documents in a compiled graph on a GPU, else torch's SDPA.

    Raises:
      TrainerError: The family has no such model.
    """

    def __init__(
        self,
        spec: ModelSpec,
        vocab_size: int,
        *,
        generator: torch.Generator | None = None,
        checkpoint_activations: bool = False,
        body: Body | None = None,
    ) -> None:
        super().__init__()
        shape = Shape.of(spec, vocab_size)
        self.spec = spec.model_copy(update={"vocab_size": vocab_size})
        self.shape = shape
        self.checkpoint_activations = checkpoint_activations
        self.body = body
        self.embedding = Embedding(vocab_size, shape.dim)
        self.positions = Embedding(shape.context, shape.dim) if shape.family.learned_positions else None
        self.blocks = nn.ModuleList(Block(shape, spec.norm_eps) for _ in range(shape.layers))
        self.norm = Norm(shape.dim, spec.norm_eps, centred=shape.family.centred_norm)
        self.output = None if spec.tied else Linear(shape.dim, vocab_size, bias=False)
        self.initialise(generator or torch.Generator().manual_seed(0))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws all weights: N(0, 0.02), what leads back into the stream divided by the root of its number of summands.

        That is GPT-2's scheme (section 2.3 of its paper), and for want of a published one Llama's and Qwen's too.
        Biases are 0, norms 1. Weights on the meta device stay unset.
        """
        into_stream = INIT_STD * (2 * self.shape.layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.is_meta:
                continue
            if weight.dim() < 2:
                weight.fill_(float(name.endswith("norm.weight")))
                continue
            std = into_stream if name.endswith(("attention.output.weight", "ffn.down.weight")) else INIT_STD
            weight.copy_(torch.empty(weight.shape).normal_(std=std, generator=generator))

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Hidden states behind the last norm.

        Args:
          tokens: int64 [rows, seq].
          positions: [rows, seq], from 0 on in every document; None: the row's (or cache's) own.
          documents: [rows, seq], ids that rise along a row and -1 at padding: attention stays within each. None: a row
            is one document, which spares the mask (`attention.packed` tells where that is so).
          cache: What came before, to which this is added; then `documents` must be None.

        Returns:
          [rows, seq, dim].
        """
        past = 0 if cache is None else cache.length
        if positions is None:
            positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)[None]
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(positions)
        if torch.is_autocast_enabled(tokens.device.type):
            x = x.to(torch.get_autocast_dtype(tokens.device.type))
        spec = self._attention(tokens, documents, past, x.dtype)
        turned_by = None if self.positions is not None else self._rotation(positions, x.dtype)
        for layer, block in enumerate(self.blocks):
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(block, x, turned_by, spec, None, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, turned_by, spec, None if cache is None else cache.layers[layer])
        return cast(Tensor, self.norm(x))

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., dim] -> [..., vocab_size], float32 at least. `cross_entropy` never holds them all."""
        logits = functional.linear(hidden, self.output_weight)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @property
    def output_weight(self) -> nn.Parameter:
        """[vocab_size, dim]: what hidden states are multiplied by; the embedding where it is tied."""
        return cast(nn.Parameter, self.embedding.weight if self.output is None else self.output.weight)

    def set_context(self, context: int, rope_theta: float, rope_scaling: RopeScaling | None) -> None:
        """Gives the model another context and rotary frequencies, as a stage that lengthens does; weights stay.

        Raises:
          TrainerError: A learned table of positions has another length.
        """
        if self.positions is not None:
            if context != self.spec.context:
                raise TrainerError(
                    f"a {self.spec.family} model has a table of {self.spec.context} positions and can't change to the "
                    f"context {context!r}: keep it, or take a family with rotary positions (llama, qwen2)"
                )
            return
        changed = {"context": context, "rope_theta": rope_theta, "rope_scaling": rope_scaling}
        self.spec = self.spec.model_copy(update=changed)

    def _rotation(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        radians = rope.frequencies(self.shape.head_dim, self.spec.rope_theta, self.spec.rope_scaling, positions.device)
        table = rope.rotation(positions, radians, torch.promote_types(dtype, torch.float32))
        return cast(tuple[Tensor, Tensor], table)

    def _attention(self, tokens: Tensor, documents: Tensor | None, past: int, dtype: torch.dtype) -> AttentionSpec:
        if documents is None:
            return causal(tokens.shape[1], past, self.body or "sdpa", dtype, tokens.device)
        if past:
            raise TrainerError(f"documents can't be told apart behind {past} cached positions; give one or the other")
        flex = tokens.is_cuda and torch.compiler.is_compiling() and dtype != torch.float64 and tokens.shape[1] >= BLOCK
        return within_documents(documents, self.body or ("flex" if flex else "sdpa"), dtype)
