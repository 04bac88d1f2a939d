"""What a run trains with, brought together: its output, where it goes on, weights, tokenizer and segments."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from schemas.training import ModelSpec, TrainingSpec
from storage.lock import Lock
from trainer import materials, own_tokenizer
from trainer.errors import IntegrityError, TrainerError
from trainer.materials import Materials
from trainer.model.decoder import Decoder
from trainer.segments.tokenize import Progress
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint, stages
from trainer.train.checkpoint import Checkpoint
from trainer.train.identity import PLANS, RUN, SUCCESS, Identity, see_tokenizer
from trainer.train.metrics import METRICS, TIMING
from trainer.train.micro_batch_size import micro_batch_size
from trainer.train.ranks import Ranks
from trainer.train.start import Options, Watcher, fitted, given_tokenizer
from trainer.trained import CHECKPOINTS, TOKENIZER_FOLDER, Stored, model_of, stored

REPORT, SUMMARY, EVENTS = "report.html", "summary.json", "events"
_RESULT = (SUMMARY, REPORT, SUCCESS)
"""All three stand where a run is finished; what of them is missing is made again."""
_WORK = (RUN, TOKENIZER_FOLDER, f".{TOKENIZER_FOLDER}", PLANS, CHECKPOINTS, METRICS, TIMING, EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that is about to begin or to go on; alike on every rank but for its weights."""

    spec: TrainingSpec
    identity: Identity
    made: Mapping[str, Materials]
    """By stage that is not over."""
    tokenizer: Tokenizer
    model: ModelSpec
    """As stages have changed it so far, the size of its vocabulary settled."""
    micro_batch_size: tuple[int, ...]
    """By stage."""
    checkpoint: Checkpoint | None
    """What it goes on from; None where it begins."""
    decoder: Decoder | None
    """The model of `--init`, on the first rank of a run that begins with one."""
    optimizer: Checkpoint | None
    """Whose optimizer a run takes over that begins by annealing."""


def prepare(
    name: str,
    spec: TrainingSpec,
    data: Mapping[str, str],
    output: Path,
    options: Options,
    ranks: Ranks,
    watcher: Watcher,
    stack: contextlib.ExitStack,
) -> Prepared | None:
    """Makes the output this run's, and brings together what it trains with; the first rank alone reads weights.

    Args:
      name: Of the recipe.
      spec: The recipe.
      data: Name -> path of what the sources read.
      output: A folder that all machines of the run share.
      options: How it is started.
      ranks: Who takes part.
      watcher: Is told of progress.
      stack: Gives the output free when it is closed.

    Returns:
      None where the run is finished and its result stands.

    Raises:
      What `trainer.train.run.train` raises before the first step.
    """
    start, spec, given = _fitted(spec, data, output, options, ranks, watcher.note)
    identity = Identity(recipe=name, spec=spec, start=start.origin if start else "", tokenizer=given)
    if ranks.first:
        output.mkdir(parents=True, exist_ok=True)
        stack.enter_context(Lock(str(output / "lock")))
        identity.take(output, (*_WORK, *_RESULT), options.fresh)
    finished, found = ranks.broadcast_object(_standing(output, watcher.note) if ranks.first else None)
    begins = not finished and found is None
    # before the data is tokenised, which may take days: a file may turn out to be damaged
    decoder = start.decoder(not options.anneal, torch.device("cpu")) if start and begins and ranks.first else None
    now = _tokenized(spec, data, output, given, options.segments, ranks, watcher.tokenized)
    identity = dataclasses.replace(identity, tokenizer=now.tokenizer)
    at = len(spec.stages) - 1 if finished else found.state["progress"]["stage"] if found else -1
    keys = ranks.broadcast_object(identity.segments(output, at, now.keys) if ranks.first else None)
    if finished:
        return None
    if ranks.first and keys[spec.stages[-1].name] != now.keys:
        watcher.note("the last stage goes on with the data that it began with; what is given now is another")
    model = model_of(found) if found else spec.model
    assert model is not None  # `fitted` refuses a recipe without one
    model, rows = _settled(model, now.tokenizer.largest_id + 1, spec, ranks)
    return Prepared(
        spec=spec,
        identity=identity,
        made=materials.by_stage(keys, now, options.segments),
        tokenizer=now.tokenizer,
        model=model,
        micro_batch_size=rows,
        checkpoint=found,
        decoder=decoder,
        optimizer=start.checkpoint if start and begins and options.anneal else None,
    )


def _fitted(
    spec: TrainingSpec,
    data: Mapping[str, str],
    output: Path,
    options: Options,
    ranks: Ranks,
    note: Callable[[str], None],
) -> tuple[Stored | None, TrainingSpec, Tokenizer | None]:
    """What is started from, the recipe as it runs with that, and the tokenizer that was given; makes no folder.

    Raises:
      TrainerError: They, the data or the memory don't fit, or `fresh` would delete what is started from.
    """
    start = ranks.broadcast_object(stored(options.init, note) if options.init and ranks.first else None)
    if options.fresh and start and start.path.is_relative_to(output.resolve()):
        raise TrainerError(
            f"--fresh would delete {str(start.path)!r}, which the run is to start from: it lies in the output; give "
            "another output"
        )
    spec = fitted(spec, start, options.anneal)
    materials.check(spec, data)
    given = given_tokenizer(options, start)
    assert spec.model is not None
    _settled(spec.model, given.largest_id + 1 if given else spec.tokenizer.vocab_size, spec, ranks)
    return start, spec, given


def _settled(model: ModelSpec, ids: int, spec: TrainingSpec, ranks: Ranks) -> tuple[ModelSpec, tuple[int, ...]]:
    """The model with its vocabulary for so many ids, and the micro-batches' rows by stage, for which there is memory.

    Raises:
      TrainerError: The vocabulary is too small for the ids, or the memory.
    """
    size = stages.vocab_size(model, ids)
    return model.model_copy(update={"vocab_size": size}), micro_batch_size(model, size, spec, ranks)


def _standing(output: Path, note: Callable[[str], None]) -> tuple[bool, Checkpoint | None]:
    """Whether the run is finished; if not, its newest sound checkpoint, where there is one.

    Raises:
      IntegrityError: No checkpoint is whole; or a part of a finished run's result is gone, and so are they.
    """
    missing = [name for name in _RESULT if not (output / name).exists()]
    if not missing:
        return True, None
    found = checkpoint.latest(output / CHECKPOINTS, note)
    if found is None and SUCCESS not in missing:
        raise IntegrityError(
            f"{str(output)!r} is finished, has lost {' and '.join(missing)}, and has no checkpoint to make that again "
            "from; restore either, or start anew with --fresh"
        )
    return False, found


def _tokenized(
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
    folder = output / TOKENIZER_FOLDER
    with ranks.while_first_works():
        if ranks.first:
            see_tokenizer(output, folder)
            own = own_tokenizer.kept(folder, lambda: given or own_tokenizer.trained(spec, data))
            materials.gather(spec, data, own, segments, progress)
    return materials.gather(spec, data, Tokenizer.load(folder), segments)
