"""Trainer recipes as data: the models of pipelines.yaml's `training` entries. No logic beyond validation.

Amounts of data are in target tokens unless a name says otherwise: a target is a token that the loss scores. They may be
written as 252M or 2.87T. A ramp is one value, or a list of [at, value] with `at` in the stage's targets, from 0 on.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _tokens(value: Any) -> Any:
    """`2.87T` -> 2_870_000_000_000; numbers pass, YAML's true and false, which are 1 and 0 to Python, do not."""
    if isinstance(value, bool):
        raise ValueError(f"an amount is a number, such as 5000, 5k or 2.5M, not {value!r}")
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)([kMBT]?)", value)):
        return round(float(found[1]) * _UNITS[found[2]])
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ramp(value: Any) -> Any:
    """One value is a ramp that never changes."""
    return value if isinstance(value, list | tuple) else ((0, value),)


def _rising(value: Any) -> Any:
    places = [at for at, _ in value]
    if not places or places[0] != 0 or places != sorted(set(places)):
        raise ValueError(f"a ramp is a list of [targets, value] that starts at 0 and rises, not {value!r}")
    return value


Tokens = Annotated[int, BeforeValidator(_tokens), Field(ge=0)]
Amount = Annotated[int, BeforeValidator(_tokens), Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Ramp = Annotated[tuple[tuple[Tokens, Amount], ...], BeforeValidator(_ramp), AfterValidator(_rising)]
Mix = dict[str, NotNegative]
MixRamp = Annotated[tuple[tuple[Tokens, Mix], ...], BeforeValidator(_ramp), AfterValidator(_rising)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class TokenizerSpec(_Strict):
    """The byte-level BPE that is trained where `--tokenizer` gives none."""

    vocab_size: Annotated[int, Field(ge=256 + 16, le=200_000)] = 50_304
    """Of all ids, special tokens included."""
    texts: Amount = 100_000
    """Documents it is trained on, a seeded sample over all text sources."""


class RopeScaling(_Strict):
    """Llama 3.1's scaling of rotary frequencies (`rope_type: llama3`)."""

    factor: Positive = 8.0
    low_freq_factor: Positive = 1.0
    high_freq_factor: Positive = 4.0
    original_context: Annotated[int, Field(ge=1)] = 8192

    @model_validator(mode="after")
    def _low_below_high(self) -> "RopeScaling":
        if not self.low_freq_factor < self.high_freq_factor:
            raise ValueError(
                f"low_freq_factor {self.low_freq_factor!r} must be less than high_freq_factor {self.high_freq_factor!r}"
            )
        return self


class ModelSpec(_Strict):
    """A decoder's shape."""

    family: Literal["gpt2", "llama", "qwen2"]
    layers: Annotated[int, Field(ge=1)]
    dim: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    kv_heads: Annotated[int, Field(ge=1)] | None = None
    """None: as many as heads."""
    ffn_dim: Annotated[int, Field(ge=1)] | None = None
    """None: 4 x dim for gpt2; else 8/3 x dim rounded up to a multiple of 256."""
    context: Annotated[int, Field(ge=2)]
    """Positions: of gpt2's learned table, and the exported `max_position_embeddings` before a stage lengthens it."""
    vocab_size: Annotated[int, Field(ge=1)] | None = None
    """Rows of the embedding. None: the tokenizer's largest id + 1, rounded up to a multiple of 64."""
    rope_theta: Positive = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: Positive = 1e-5
    tied: bool = True

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelSpec":
        if self.dim % self.heads or self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} must divide dim {self.dim}, and kv_heads {self.kv_heads} the heads")
        return self


class SourceSpec(_Strict):
    """Where a part of the mix comes from: a data folder given as `--data NAME=DIR`, or a generator of ours."""

    data: str = ""
    """The NAME of a `--data`; empty is the one given without a name."""
    kind: Literal["text", "chat", "preference"] = "text"
    """text: a curated folder. chat and preference: a JSONL file or folder of them (`trainer.chat.importers`)."""
    where: str = ""
    """A DuckDB condition on the shard's columns, such as `language = 'ko' and quality > 0.5`; NaN counts as NULL."""
    share: tuple[Share, Share] = (0.0, 1.0)
    """Documents whose hash of the id, as a fraction, lies in [from, to)."""
    answers_only: bool = True
    """chat: only what the assistant says is learnt (fine-tuning); false: every token (pretraining)."""
    generate: Literal["", "arithmetic"] = ""
    """Instead of `data`: problems in English and Korean with their answers, made from the seed; as text, some solved
    ones one behind the other."""
    documents: Amount = 1_000
    """How many a generator makes."""
    below: Annotated[int, Field(ge=10, le=100)] = 100
    """arithmetic: its numbers are smaller than this."""

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceSpec":
        if self.generate and (self.data or self.where):
            raise ValueError(f"generate {self.generate!r} needs no data {self.data!r} and no where {self.where!r}")
        return self

    @property
    def holds_out(self) -> bool:
        """Whether it is text of which a part is never trained on; generators hold problems out, not documents."""
        return self.kind == "text" and not self.generate


class OptimizerSpec(_Strict):
    """AdamW, or Muon for the matrices of the blocks and AdamW for the rest."""

    name: Literal["adamw", "muon"] = "adamw"
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1
    """Of matrices; vectors (norms, biases) are never decayed."""
    clip: NotNegative = 1.0
    """Largest norm of the whole gradient; 0 clips nothing."""
    muon_lr: Positive = 1.0
    """Muon's learning rate over AdamW's."""
    momentum: Momentum = 0.95
    """Muon's."""


class LrSpec(_Strict):
    """Learning rate as a function of the stage's own targets so far."""

    shape: Literal["constant", "linear", "cosine", "wsd"] = "constant"
    start: float = Field(ge=0, alias="from")
    end: float | None = Field(default=None, ge=0, alias="to")
    """At the stage's end; constant does not look at it, the other shapes want it."""
    warmup: Tokens = 0
    """Targets over which it rises linearly from 0 to `from`."""
    decay: Share = 0.2
    """wsd: the last part of the stage, over which it falls linearly."""

    @model_validator(mode="after")
    def _ends_somewhere(self) -> "LrSpec":
        if self.end is None and self.shape != "constant":
            raise ValueError(f"lr.shape {self.shape!r} wants lr.to, the rate at the stage's end, which may be 0")
        return self


class LossSpec(_Strict):
    """What a stage minimises."""

    name: Literal["next_token", "dpo"] = "next_token"
    beta: Positive = 0.1
    """dpo: strength of the pull to the reference."""
    nll: NotNegative = 0.0
    """dpo: weight of the chosen answer's negative log-likelihood a token (Llama 3.1: 0.2)."""


class GuardSpec(_Strict):
    """When a step's gradient is passed over, and when the run ends."""

    max_skips: Annotated[int, Field(ge=0)] = 3
    """Steps in a row whose loss or gradient is not finite; one more ends the run. Outliers in a row that are passed
    over; what follows is the new normal and moves the weights."""
    window: Annotated[int, Field(ge=4)] = 128
    """Steps by whose median and median absolute deviation a spike is judged; not before a quarter of them is there."""
    sigmas: Positive = 10.0
    """How far above the median, in robust standard deviations, is a spike."""
    spike: Literal["skip", "report"] = "skip"
    """What becomes of an outlier: its gradient is passed over, or it is only noted."""


class GateSpec(_Strict):
    """What must hold at the end of a stage before the next begins (Llama 3.1's context steps)."""

    recovered: Positive | None = None
    """Held-out loss at the run's first sequence length may be at most this factor of what it was before the stage."""
    needle: Share | None = None
    """Share of needles in a haystack of the stage's length that must be found (more likely than the alternatives)."""
    on_fail: Literal["stop", "continue"] = "stop"


class RopeChange(_Strict):
    """What a stage does to the rotary frequencies when it lengthens the context."""

    theta: Positive | None = None
    """The base."""
    factor: Positive = 1.0
    """Instead of `theta`: times what it was."""
    scaling: RopeScaling | None = None
    """In place of the model's; None leaves that."""


class StageSpec(_Strict):
    """A stage: a source of batches, a loss, a schedule."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    loss: LossSpec = LossSpec()
    mix: MixRamp
    """Shares of targets by source, normalised; a ramp of them is a mix schedule."""
    tokens: Amount | None = None
    """Targets of the stage; or `epochs` over its sources."""
    epochs: Positive | None = None
    max_epochs: Positive = 4.0
    """How often a document may be repeated within the stage."""
    seq_len: Ramp = ((0, 1024),)
    """Input positions of a row."""
    batch: Ramp = ((0, 524_288),)
    """Input positions of a global step (rows x seq_len); for dpo, pairs."""
    lr: LrSpec
    optimizer: Literal["keep", "reset"] = "keep"
    rope: RopeChange | None = None
    gate: GateSpec | None = None
    average: bool = False
    """Keeps the Polyak average of the stage's weights, each step weighing the same; evaluation and export use it."""

    @model_validator(mode="after")
    def _one_length(self) -> "StageSpec":
        if (self.tokens is None) == (self.epochs is None):
            raise ValueError(f"stage {self.name!r} wants either tokens or epochs, not {self.tokens!r}, {self.epochs!r}")
        return self

    @model_validator(mode="after")
    def _rows_fit(self) -> "StageSpec":
        if self.loss.name == "dpo":
            return self
        for at in sorted({at for at, _ in (*self.seq_len, *self.batch)}):
            ramps = (self.seq_len, self.batch)
            seq_len, batch = (next(value for place, value in reversed(ramp) if place <= at) for ramp in ramps)
            if batch < seq_len:
                raise ValueError(
                    f"stage {self.name!r}: from target {at:,} on a batch of {batch:,} positions holds no row of "
                    f"seq_len {seq_len:,}; give batch at least seq_len"
                )
        return self

    @model_validator(mode="after")
    def _epochs_are_clear(self) -> "StageSpec":
        if self.epochs is None or self.loss.name == "dpo":
            return self
        if self.epochs > self.max_epochs:
            raise ValueError(
                f"stage {self.name!r} wants epochs {self.epochs!r}, its max_epochs is {self.max_epochs!r}; raise it"
            )
        if len(self.mix) > 1 or len({weight for weight in self.mix[0][1].values() if weight > 0}) > 1:
            raise ValueError(
                f"stage {self.name!r} wants epochs {self.epochs!r} of every source, which leaves its mix "
                f"{self.mix!r} nothing to say; give equal weights, or tokens instead of epochs"
            )
        return self

    @model_validator(mode="after")
    def _warm_in_time(self) -> "StageSpec":
        if self.tokens is not None and self.lr.warmup > self.tokens:
            raise ValueError(
                f"stage {self.name!r} ends after {self.tokens:,} targets, in the midst of lr.warmup, "
                f"{self.lr.warmup:,}; shorten the warmup"
            )
        return self


class TrainingSpec(_Strict):
    """A trainer recipe."""

    description: str = ""
    seed: int = 0
    """Of initial weights, of what is generated, and of the data's order."""
    data_seed: int | None = None
    """Of the data's order alone, where it is to differ."""
    model: ModelSpec | None = None
    """None: the shape of what `--init` gives."""
    tokenizer: TokenizerSpec = TokenizerSpec()
    sources: dict[str, SourceSpec]
    held_out: Share = 0.005
    """Share of the text documents, by hash, that no stage trains on; gates, loss by language and eval read them."""
    optimizer: OptimizerSpec = OptimizerSpec()
    guards: GuardSpec = GuardSpec()
    stages: tuple[StageSpec, ...]
    micro_batch_size: Amount | None = None
    """Rows that go through the model at once on a rank; None: as many as the memory estimate allows, at most all."""
    precision: Literal["float32", "bf16"] = "bf16"
    """Of matrix products and activations; weights and optimizer state stay float32. On a CPU always float32."""
    compile: bool = True
    """torch.compile, a graph a sequence length; a GPU wants a C compiler for it. The nano recipes run eagerly."""
    checkpoint_activations: bool = False
    checkpoint_every: Share = 0.05
    """Of the whole run's targets; a checkpoint is also written at the end of every stage and before a stop. 0: there
    alone."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 3

    @model_validator(mode="after")
    def _names_meet(self) -> "TrainingSpec":
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"stages need one name each, not {names!r}")
        for stage in self.stages:
            for _, mix in stage.mix:
                if unknown := set(mix) - set(self.sources):
                    raise ValueError(
                        f"stage {stage.name!r} mixes {sorted(unknown)}, sources are {sorted(self.sources)}"
                    )
                if not sum(mix.values()) > 0:
                    raise ValueError(f"stage {stage.name!r} mixes nothing: {mix!r}")
        return self
