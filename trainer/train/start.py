"""How a run is started and who watches it; what follows for its recipe and tokenizer before it has an output."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from schemas.training import TrainingSpec
from trainer.errors import TrainerError
from trainer.model.shape import Shape
from trainer.segments.tokenize import Progress
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import stages
from trainer.train.metrics import Row
from trainer.trained import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is started."""

    tokenizer: Path | None = None
    """A tokenizer.json; None: the one of `init`, else one is trained."""
    init: str = ""
    """A run's output, one of its checkpoints, or a Hugging Face folder; empty: fresh weights."""
    anneal: bool = False
    """Goes on from the weights and the optimizer of `init` with the stage `anneal` alone."""
    segments: str = ""
    """Where tokenised data is kept for all runs; empty: a cache."""
    fresh: bool = False
    device: str = ""
    deterministic: bool = False


class Watcher(Protocol):
    """Whoever watches a run, on the first rank."""

    def note(self, words: str) -> None:
        """Something to tell once."""

    def tokenized(self, progress: Progress) -> None:
        """How far the data of a source is tokenised."""

    def row(self, row: Row, timing: Mapping[str, Any], total: int) -> None:
        """A step was done; `timing` is the newest row of timing.jsonl, `total` the whole run's targets."""


def fitted(spec: TrainingSpec, start: Stored | None, anneal: bool) -> TrainingSpec:
    """The recipe as it will run: with the shape of the model that is started from, annealing alone where asked.

    Raises:
      TrainerError: The recipe gives no model, or another one; it has no stage `anneal`, or there is no optimizer to
        anneal with.
    """
    if anneal:
        spec = _annealing(spec, start)
    if start is not None:
        _check_shape(spec, start)
        spec = spec.model_copy(update={"model": start.spec})
    if spec.model is None:
        raise TrainerError("the recipe gives no model of its own: say which to start from with --init DIR")
    stages.check_lengths(spec.model, spec)
    return spec


def given_tokenizer(options: Options, start: Stored | None) -> Tokenizer | None:
    """The tokenizer that the run was given, by a file or with its weights; None: it trains one.

    Raises:
      TrainerError: It does not fit the weights to start from.
    """
    given = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    if start is None:
        return given
    if given is not None and given.sha256 != start.tokenizer.sha256:
        raise TrainerError(
            f"{str(options.tokenizer)!r} is tokenizer {given.sha256[:16]}…, the weights of {options.init!r} were "
            f"trained with {start.tokenizer.sha256[:16]}…; leave --tokenizer out"
        )
    rows = start.shape.vocab_size
    if start.tokenizer.largest_id >= rows:
        raise TrainerError(
            f"the tokenizer of {options.init!r} has ids up to {start.tokenizer.largest_id}, its embedding {rows} rows; "
            "give the model the tokenizer that it was trained with"
        )
    return start.tokenizer


def _annealing(spec: TrainingSpec, start: Stored | None) -> TrainingSpec:
    """The stage `anneal` alone, with its sources."""
    kept = tuple(stage for stage in spec.stages if stage.name == "anneal")
    if not kept:
        raise TrainerError(f"no stage is named 'anneal'; the recipe has {[stage.name for stage in spec.stages]}")
    if start is None or start.checkpoint is None:
        raise TrainerError("--anneal goes on with a run's optimizer, which a Hugging Face folder lacks; take --init")
    mixed = {name for stage in kept for _, mix in stage.mix for name in mix}
    sources = {name: source for name, source in spec.sources.items() if name in mixed}
    return spec.model_copy(update={"stages": kept, "sources": sources})


def _check_shape(spec: TrainingSpec, start: Stored) -> None:
    """A recipe's model, where it has one, is the one that is started from. Its context and rotary base may differ."""
    if spec.model is None:
        return
    own = start.shape
    wanted = Shape.of(spec.model, spec.model.vocab_size or own.vocab_size)
    sizes = ("layers", "dim", "heads", "kv_heads", "ffn_dim", "vocab_size", "tied")
    pairs = {"family": (spec.model.family, start.spec.family)}
    pairs |= {key: (getattr(wanted, key), getattr(own, key)) for key in sizes}
    for key, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise TrainerError(
                f"model.{key} is {ours!r} in the recipe, the model to start from has {theirs!r}; leave the recipe's "
                "model out, or start from one of its shape"
            )
