"""What a `ModelSpec` leaves open, worked out: sizes, what a family consists of, parameters by part, FLOPs. No torch."""

from dataclasses import dataclass

from schemas.training import ModelSpec
from trainer.errors import TrainerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """In what the families differ."""

    learned_positions: bool
    """A table of positions, added to the embedding; else rotary ones, in every attention."""
    centred_norm: bool
    """LayerNorm with a bias; else RMSNorm."""
    gated: bool
    """SwiGLU; else GELU in its tanh form."""
    qkv_bias: bool
    bias: bool
    """Of the other linear maps."""


FAMILIES = {
    "gpt2": Family(learned_positions=True, centred_norm=True, gated=False, qkv_bias=True, bias=True),
    "llama": Family(learned_positions=False, centred_norm=False, gated=True, qkv_bias=False, bias=False),
    "qwen2": Family(learned_positions=False, centred_norm=False, gated=True, qkv_bias=True, bias=False),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many there are."""

    matrices: int
    """Of the blocks: two-dimensional, what Muon updates."""
    vectors: int
    """Norms and biases."""
    embedding: int
    """Of tokens; where it is tied it is the output's too."""
    positions: int
    output: int

    @property
    def total(self) -> int:
        """All."""
        return self.matrices + self.vectors + self.embedding + self.positions + self.output

    @property
    def multiplied(self) -> int:
        """What a token is multiplied by: all but tables that are only looked up."""
        return self.total - self.positions - (self.embedding if self.output else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A decoder's sizes."""

    family: Family
    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_dim: int
    context: int
    vocab_size: int
    tied: bool

    @classmethod
    def of(cls, spec: ModelSpec, vocab_size: int) -> "Shape":
        """The sizes of a spec.

        Args:
          spec: Its `vocab_size` is not read.
          vocab_size: Rows of the embedding.

        Raises:
          TrainerError: The family has no such model.
        """
        family = FAMILIES[spec.family]
        kv_heads = spec.kv_heads or spec.heads
        if family.learned_positions and (kv_heads != spec.heads or spec.rope_scaling):
            raise TrainerError(
                f"a {spec.family} model has neither grouped keys (kv_heads {spec.kv_heads!r}, heads {spec.heads!r}) "
                f"nor rotary positions (rope_scaling {spec.rope_scaling!r}); leave both out, or take llama or qwen2"
            )
        head_dim = spec.dim // spec.heads
        if not family.learned_positions and head_dim % 2:
            raise TrainerError(
                f"rotary positions turn pairs: dim {spec.dim!r} over heads {spec.heads!r} gives the odd {head_dim!r} "
                "a head; choose an even one"
            )
        ffn_dim = spec.ffn_dim or (-(-8 * spec.dim // (3 * 256)) * 256 if family.gated else 4 * spec.dim)
        return cls(
            family=family,
            layers=spec.layers,
            dim=spec.dim,
            heads=spec.heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            ffn_dim=ffn_dim,
            context=spec.context,
            vocab_size=vocab_size,
            tied=spec.tied,
        )

    @property
    def kv_dim(self) -> int:
        """Elements of a token's keys, and of its values."""
        return self.kv_heads * self.head_dim

    @property
    def parameters(self) -> Parameters:
        """By part."""
        d, f, family = self.dim, self.ffn_dim, self.family
        norm = d * (2 if family.centred_norm else 1)
        biases = family.qkv_bias * (d + 2 * self.kv_dim) + family.bias * (2 * d + f)
        return Parameters(
            matrices=self.layers * (2 * d * d + 2 * d * self.kv_dim + (3 if family.gated else 2) * d * f),
            vectors=self.layers * (2 * norm + biases) + norm,
            embedding=self.vocab_size * d,
            positions=self.context * d if family.learned_positions else 0,
            output=0 if self.tied else self.vocab_size * d,
        )

    def flops(self, seq_len: int) -> int:
        """Of training on one token, forwards and backwards: 6N + 12LdT.

        N are the parameters that a token is multiplied by, T the length of its row, attention counted whole though it
        is causal (PaLM, appendix B, https://arxiv.org/abs/2204.02311). What activation checkpointing computes twice
        counts once.
        """
        return 6 * self.parameters.multiplied + 12 * self.layers * self.heads * self.head_dim * seq_len
