"""A run: a recipe, data and an output folder; what is done there is gone on with.

The output holds run.json, tokenizer/, plan/STAGE/, checkpoints/, metrics.jsonl, timing.jsonl, events/ and, at the end,
summary.json, report.html and _SUCCESS.
"""

import contextlib
import copy
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash

from schemas.training import StageSpec, TrainingSpec
from storage.commit import replace_atomic
from trainer import report
from trainer.loader import PlanSource
from trainer.model.decoder import Decoder
from trainer.model.devices import peak_flops
from trainer.train import stages
from trainer.train.board import Board
from trainer.train.gates import Gates
from trainer.train.guards import Guards
from trainer.train.identity import PLANS, SUCCESS
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import METRICS, ROW, TIMING, JsonLines
from trainer.train.micro_batch_size import together
from trainer.train.precision import compile_model, make_deterministic, threads_for
from trainer.train.prepare import EVENTS, SUMMARY, Prepared, prepare
from trainer.train.ranks import Ranks, joined
from trainer.train.start import Options, Watcher
from trainer.train.stop import Stop
from trainer.train.timing import TIMING_ROW, Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter
from trainer.trained import CHECKPOINTS


def train(
    name: str, spec: TrainingSpec, data: Mapping[str, str], output: Path, options: Options, watcher: Watcher
) -> bool:
    """Trains a recipe, from where its output stands to its end.

    Args:
      name: Of the recipe.
      spec: The recipe.
      data: Name -> path of what the sources read.
      output: A folder that all machines of the run share.
      options: How it is started.
      watcher: Is told of progress.

    Returns:
      False where a signal has stopped it; the same call goes on.

    Raises:
      TrainerError: The recipe, data, tokenizer or memory don't fit; nothing was trained.
      ForeignError: The output belongs to another run, or the data that the stage under way began with is gone.
      IntegrityError: A file of the data, or every checkpoint, is damaged.
      TrainingFailedError: Training can't go on; the last good checkpoint stands.
    """
    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(joined(options.device))
        make_deterministic(ranks.device, options.deterministic, spec.compile)
        run = prepare(name, spec, data, output, options, ranks, watcher, stack)
        return run is None or _all_stages(run, output, ranks, watcher, stack)


def _all_stages(run: Prepared, output: Path, ranks: Ranks, watcher: Watcher, stack: contextlib.ExitStack) -> bool:
    """Stage after stage to the end; False where a signal has stopped it before."""
    left = [stage for stage in run.spec.stages if stage.name in run.made]
    sources = {stage.name: stages.source(stage, run.spec, run.made[stage.name], output / PLANS) for stage in left}
    gates = Gates(run.spec, run.made, run.tokenizer, ranks, watcher.note)
    decoder = _decoder(run, ranks)
    training = _training(run, decoder, ranks)
    if ranks.first:
        keys = {name: made.keys for name, made in run.made.items()}
        for words in run.identity.claim(output, training.progress.step, keys):
            watcher.note(words)
    ranks.barrier()  # no rank begins before the claim stands
    training.facts.targets |= {name: source.total_targets for name, source in sources.items()}
    stack.enter_context(threads_for(ranks.device, decoder.shape.parameters.total))
    loop = _loop(run, training, decoder, sum(training.facts.targets.values()), output, ranks, watcher, stack)
    for number, stage in enumerate(run.spec.stages):
        if number < training.progress.stage:
            continue
        if number > training.progress.stage:
            _begin(number, stage, training, decoder, gates)
            loop.clock.restart()
        if run.spec.compile and training.reference:
            compile_model(training.reference)
        source = sources[stage.name]
        loop.clock.queue_depth = lambda source=source: source.queue_depth
        if not loop.train(_part(stage, source, training, run.micro_batch_size[number])):
            return False
        training.facts.data[stage.name] = dataclasses.asdict(source.account())
        gates.behind(_made(training, decoder, ranks), stage, training.facts)
    if ranks.first:
        replace_atomic(str(output / SUMMARY), json.dumps(_summary(training, decoder), indent=1).encode())
        report.write(output)
        (output / SUCCESS).touch()
    return True


def _decoder(run: Prepared, ranks: Ranks) -> Decoder:
    """The model, on the device. It has weights on the first rank of a run that begins, and elsewhere room for them."""
    spec = run.model
    assert spec.vocab_size is not None
    if run.decoder is not None:
        decoder = run.decoder.to(ranks.device)
    elif ranks.first and run.checkpoint is None:
        seed = xxhash.xxh3_64_intdigest(f"weights {run.spec.seed}".encode())
        decoder = Decoder(spec, spec.vocab_size, generator=torch.Generator().manual_seed(seed)).to(ranks.device)
    else:
        with torch.device("meta"):
            decoder = Decoder(spec, spec.vocab_size)
        decoder.to_empty(device=ranks.device)
    decoder.checkpoint_activations = run.spec.checkpoint_activations
    if run.spec.compile:
        compile_model(decoder)
    return decoder


def _training(run: Prepared, decoder: Decoder, ranks: Ranks) -> Training:
    """Goes on from a checkpoint, or begins, annealing with the optimizer of what is started from."""
    training = Training(decoder, run.spec.optimizer, guards=Guards(run.spec.guards))
    if run.checkpoint:
        training.restore(run.checkpoint, ranks)
        return training
    if run.optimizer and ranks.first:
        held = training.tensors()
        run.optimizer.load({name: held[name] for name in held if name.startswith("optimizer/")})
    training.broadcast(ranks)
    return training


def _begin(number: int, stage: StageSpec, training: Training, decoder: Decoder, gates: Gates) -> None:
    """What a stage does to the model before its first step."""
    if training.average:  # what follows an annealing starts from its average
        training.average.write_into(decoder)
    gates.before(decoder, stage, training.facts)
    stages.lengthen(decoder, stage)
    reset, reference = stage.optimizer == "reset", stage.loss.name == "dpo"
    training.begin_stage(number, reset=reset, average=stage.average, reference=reference)
    training.facts.model = decoder.spec.model_dump(mode="json")


def _part(stage: StageSpec, source: PlanSource, training: Training, micro_batch_size: int) -> Stage:
    """The stage as the loop wants it."""
    return Stage(
        name=stage.name,
        source=source,
        loss=stages.loss(stage, training),
        lr=stage.lr,
        micro_batch_size=micro_batch_size,
        together=together(stage),
    )


def _made(training: Training, decoder: Decoder, ranks: Ranks) -> Decoder:
    """What a stage that has ended has made: the Polyak average of its weights where it kept one."""
    if not (training.average and ranks.first):  # the first rank alone looks at it
        return decoder
    made = copy.deepcopy(decoder)
    training.average.write_into(made)
    return made


def _summary(training: Training, decoder: Decoder) -> dict[str, Any]:
    """What came out, for scripts and for the report."""
    return {
        "parameters": decoder.shape.parameters.total,
        "steps": training.progress.step,
        "targets": training.progress.targets,
        "model": training.facts.model,
        "data": training.facts.data,
        "held_out": training.facts.held_out,
        "gates": training.facts.gates,
        "decisions": training.guards.state()["decisions"],
        "averaged_steps": training.average.steps if training.average else 0,
    }


def _loop(
    run: Prepared,
    training: Training,
    decoder: Decoder,
    total: int,
    output: Path,
    ranks: Ranks,
    watcher: Watcher,
    stack: contextlib.ExitStack,
) -> Loop:
    """All that goes on around the steps, of `total` targets; files on the first rank alone."""
    step, every = training.progress.step, run.spec.checkpoint_every
    stop = stack.enter_context(Stop())
    metrics = timing = writer = board = None
    if ranks.first:
        metrics = stack.enter_context(JsonLines(output / METRICS, step, ROW))
        timing = stack.enter_context(JsonLines(output / TIMING, step, TIMING_ROW))
        if metrics.stood < step:
            watcher.note(
                f"{METRICS} has good rows of {metrics.stood:,} of the {step:,} steps behind which the run goes on: the "
                "others are lost, as when the file was changed, damaged or removed; the weights are not"
            )
        last = run.checkpoint.path if run.checkpoint else None
        writer = CheckpointWriter(output / CHECKPOINTS, run.spec.keep_checkpoints, watcher.note, last)
        stack.enter_context(writer)
        board = Board(output / EVENTS, step, watcher.note)
        stack.callback(board.close)
    clock = Clock(ranks, timing, decoder.shape.flops, peak_flops(ranks.device))
    return Loop(
        training=training,
        ranks=ranks,
        clock=clock,
        metrics=metrics,
        writer=writer,
        stop=stop,
        checkpoint_every=max(1, int(every * total)) if every else 0,
        precision=run.spec.precision,
        board=board,
        tell=lambda row: watcher.row(row, clock.last, total),
    )
