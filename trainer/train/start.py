"""What stands before a run's first step: the recipe as it will run, its tokenizer, its segments."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.training import TrainingSpec
from trainer import materials
from trainer.errors import TrainerError
from trainer.materials import Materials
from trainer.model.shape import Shape
from trainer.segments.tokenize import Progress
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint, stages
from trainer.train.identity import see_tokenizer
from trainer.train.ranks import Ranks
from trainer.trained import TOKENIZER, Trained


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


def fitted(spec: TrainingSpec, start: Trained | None, anneal: bool) -> TrainingSpec:
    """The recipe as it will run: with the shape of the model that is started from, annealing alone where asked.

    Raises:
      TrainerError: The recipe gives no model, or another one; it has no stage `anneal`, or there is no optimizer to
        anneal with.
    """
    if anneal:
        spec = _annealing(spec, start)
    if start is not None:
        _check_shape(spec, start)
        spec = spec.model_copy(update={"model": start.decoder.spec})
    if spec.model is None:
        raise TrainerError("the recipe gives no model of its own: say which to start from with --init DIR")
    stages.check_lengths(spec.model, spec)
    return spec


def given_tokenizer(options: Options, start: Trained | None) -> Tokenizer | None:
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
    rows = start.decoder.shape.vocab_size
    if start.tokenizer.largest_id >= rows:
        raise TrainerError(
            f"the tokenizer of {options.init!r} has ids up to {start.tokenizer.largest_id}, its embedding {rows} rows; "
            "give the model the tokenizer that it was trained with"
        )
    return start.tokenizer


def origin(start: Trained | None, path: str) -> str:
    """What a run's weights are at its start, for run.json; empty for fresh ones."""
    if start is None:
        return ""
    if start.checkpoint is None:
        return str(Path(path).resolve())
    marker = (start.checkpoint.path / checkpoint.MARKER).read_bytes()
    return f"checkpoint of step {start.checkpoint.step}, sha256 {hashlib.sha256(marker).hexdigest()}"


def prepared(
    spec: TrainingSpec,
    data: Mapping[str, str],
    output: Path,
    given: Tokenizer | None,
    segments: str,
    ranks: Ranks,
    progress: Callable[[Progress], None],
) -> Materials:
    """The tokenizer in the output, and the segments; made by the first rank, then opened by all.

    Raises:
      TrainerError: The data or its tokenizer don't fit.
      IntegrityError: A file of the data or of the run's own tokenizer is damaged.
    """
    folder = output / TOKENIZER
    with ranks.while_first_works():
        if ranks.first:
            see_tokenizer(output, folder)
            own = materials.kept_tokenizer(folder, lambda: given or materials.trained_tokenizer(spec, data))
            materials.gather(spec, data, own, segments, progress)
    return materials.gather(spec, data, Tokenizer.load(folder), segments)


def _annealing(spec: TrainingSpec, start: Trained | None) -> TrainingSpec:
    """The stage `anneal` alone, with its sources."""
    kept = tuple(stage for stage in spec.stages if stage.name == "anneal")
    if not kept:
        raise TrainerError(f"no stage is named 'anneal'; the recipe has {[stage.name for stage in spec.stages]}")
    if start is None or start.checkpoint is None:
        raise TrainerError("--anneal goes on with a run's optimizer, which a Hugging Face folder lacks; take --init")
    mixed = {name for stage in kept for _, mix in stage.mix for name in mix}
    sources = {name: source for name, source in spec.sources.items() if name in mixed}
    return spec.model_copy(update={"stages": kept, "sources": sources})


def _check_shape(spec: TrainingSpec, start: Trained) -> None:
    """A recipe's model, where it has one, is the one that is started from. Its context and rotary base may differ."""
    if spec.model is None:
        return
    own = start.decoder.shape
    wanted = Shape.of(spec.model, spec.model.vocab_size or own.vocab_size)
    sizes = ("layers", "dim", "heads", "kv_heads", "ffn_dim", "vocab_size", "tied")
    pairs = {"family": (spec.model.family, start.decoder.spec.family)}
    pairs |= {key: (getattr(wanted, key), getattr(own, key)) for key in sizes}
    for key, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise TrainerError(
                f"model.{key} is {ours!r} in the recipe, the model to start from has {theirs!r}; leave the recipe's "
                "model out, or start from one of its shape"
            )
