"""A run: a recipe, data and an output folder; what is done there is gone on with.

The output holds run.json, tokenizer/, plan/STAGE/, checkpoints/, metrics.jsonl, timing.jsonl, events/ and, at the end,
summary.json, report.html and _SUCCESS.
"""

import contextlib
import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import xxhash

from schemas.training import ModelSpec, StageSpec, TrainingSpec
from storage.commit import replace_atomic
from storage.lock import Lock
from trainer import materials, report
from trainer.batch import Source
from trainer.loader import PlanSource
from trainer.materials import Materials
from trainer.model.decoder import Decoder
from trainer.model.devices import peak_flops
from trainer.segments.tokenize import Progress
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint, stages
from trainer.train.board import Board
from trainer.train.checkpoint import Checkpoint
from trainer.train.gates import GATES, HELD_OUT, Gates
from trainer.train.identity import PLANS, RUN, SUCCESS, Identity
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import METRICS, TIMING, JsonLines, Row
from trainer.train.micro_rows import micro_rows, together
from trainer.train.precision import compile_model, make_deterministic, threads_for
from trainer.train.ranks import Ranks, joined
from trainer.train.start import Options, fitted, given_tokenizer, origin, prepared
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter
from trainer.trained import CHECKPOINTS, MODEL, TOKENIZER, Trained, open_trained

REPORT, SUMMARY, EVENTS = "report.html", "summary.json", "events"
_OWN = (RUN, TOKENIZER, f".{TOKENIZER}", PLANS, CHECKPOINTS, METRICS, TIMING, EVENTS, SUMMARY, REPORT, SUCCESS)
"""All that a run leaves in its output."""
_TARGETS = "targets"
"""A fact: how many targets each stage has."""


class Watcher(Protocol):
    """Whoever watches a run, on the first rank."""

    def note(self, words: str) -> None:
        """Something to tell once."""

    def tokenized(self, progress: Progress) -> None:
        """How far the data of a source is tokenised."""

    def row(self, row: Row, timing: Mapping[str, Any], total: int) -> None:
        """A step was done; `timing` is the newest row of timing.jsonl, `total` the whole run's targets."""


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
    start = open_trained(options.init, average=not options.anneal, note=watcher.note) if options.init else None
    spec = fitted(spec, start, options.anneal)
    materials.check(spec, data)
    given = given_tokenizer(options, start)
    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(joined(options.device))
        make_deterministic(ranks.device, options.deterministic, spec.compile)
        ids = given.largest_id + 1 if given else spec.tokenizer.vocab_size
        assert spec.model is not None
        micro_rows(spec.model, stages.vocab_size(spec.model, ids), spec, ranks)  # refused before there is a folder
        identity = Identity(recipe=name, spec=spec, start=origin(start, options.init), tokenizer=given)
        if ranks.first:
            output.mkdir(parents=True, exist_ok=True)
            stack.enter_context(Lock(str(output / "lock")))
            identity.take(output, _OWN, options.fresh)
        ranks.share_object(None)  # no rank reads before the folder is this run's
        found = checkpoint.latest(output / CHECKPOINTS, watcher.note) if ranks.first else None
        state = ranks.share_object(found.state if found else None)
        now = prepared(spec, data, output, given, options.segments, ranks, watcher.tokenized)
        identity = dataclasses.replace(identity, tokenizer=now.tokenizer)
        at = state["progress"]["stage"] if state else -1
        keys = ranks.share_object(identity.segments(output, at, now.keys) if ranks.first else None)
        made = materials.by_stage(keys, now, options.segments)
        if ranks.first and keys[spec.stages[-1].name] != now.keys:
            watcher.note("the last stage goes on with the data that it began with; what is given now is another")
        run = _Run(spec, identity, made, now.tokenizer, output, ranks, watcher, start, options.anneal)
        del start  # a run that goes on lets it go
        return run.go(stack, found, state)


@dataclass(slots=True)
class _Run:
    """One start of a run, everything prepared."""

    spec: TrainingSpec
    identity: Identity
    made: Mapping[str, Materials]
    """By stage that is not over."""
    tokenizer: Tokenizer
    output: Path
    ranks: Ranks
    watcher: Watcher
    start: Trained | None
    anneal: bool
    training: Training = dataclasses.field(init=False)
    loop: Loop = dataclasses.field(init=False)
    gates: Gates = dataclasses.field(init=False)
    micro_rows: tuple[int, ...] = dataclasses.field(init=False)
    """By stage."""

    def go(self, stack: contextlib.ExitStack, found: Checkpoint | None, state: Mapping[str, Any] | None) -> bool:
        """Stage after stage, from where the newest checkpoint stands.

        Args:
          stack: Closes what is opened.
          found: The checkpoint, on the first rank.
          state: Its state, on every rank.
        """
        left = [stage for stage in self.spec.stages if stage.name in self.made]
        plans = self.output / PLANS
        sources = {stage.name: stages.source(stage, self.spec, self.made[stage.name], plans) for stage in left}
        self.gates = Gates(self.spec, self.made, self.tokenizer, self.ranks, self.watcher.note)
        self.training = Training(self._decoder(state), self.spec.optimizer)
        self._restore(state, found)
        if self.ranks.first:
            keys = {name: made.keys for name, made in self.made.items()}
            for words in self.identity.claim(self.output, self.training.progress.step, keys):
                self.watcher.note(words)
        self.ranks.share_object(None)  # no rank begins before the claim stands
        stack.enter_context(threads_for(self.ranks.device, self._model.shape.parameters.total))
        stop = stack.enter_context(Stop())
        targets = self.training.facts.setdefault(_TARGETS, {})
        targets.update({name: source.total_targets for name, source in sources.items()})
        self.loop = self._loop(stack, stop, sum(targets.values()), found.path if found else None)
        for number, stage in enumerate(self.spec.stages):
            if number >= self.training.progress.stage and not self._stage(number, stage, sources[stage.name]):
                return False
        if self.ranks.first:
            replace_atomic(str(self.output / SUMMARY), json.dumps(self._summary(), indent=1).encode())
            report.write(self.output)
            (self.output / SUCCESS).touch()
        return True

    def _restore(self, state: Mapping[str, Any] | None, found: Checkpoint | None) -> None:
        """Goes on from a checkpoint, or begins, annealing with the optimizer of what is started from."""
        if state is not None:
            self.training.restore(state, found, self.ranks)
            self.start = None
            return
        if self.anneal and self.start and self.start.checkpoint:
            held = self.training.tensors()
            self.start.checkpoint.load({name: held[name] for name in held if name.startswith("optimizer/")})
        self.training.start_alike(self.ranks)

    def _stage(self, number: int, stage: StageSpec, source: Source) -> bool:
        """A stage to its end and through its gate; False where a signal has stopped it."""
        training, facts = self.training, self.training.facts
        if number > training.progress.stage:
            if training.average:  # what follows an annealing starts from its average
                training.average.write_into(training.model)
            self.gates.before(self._model, stage, facts)
            stages.lengthen(self._model, stage)
            reset = stage.optimizer == "reset"
            training.begin_stage(number, reset=reset, average=stage.average, reference=stage.loss.name == "dpo")
            facts[MODEL] = self._model.spec.model_dump(mode="json")
            self.loop.clock.restart()
        if self.spec.compile and training.reference:
            compile_model(training.reference)
        self.loop.clock.queue_depth = (lambda: source.queue_depth) if isinstance(source, PlanSource) else None
        part = Stage(
            name=stage.name,
            source=source,
            loss=stages.loss(stage, training),
            lr=stage.lr,
            micro_rows=self.micro_rows[number],
            together=together(stage),
        )
        if not self.loop.train(part):
            return False
        self.gates.behind(self._made(), stage, facts)
        return True

    def _made(self) -> Decoder:
        """What a stage that has ended has made: the Polyak average of its weights where it kept one."""
        if not (self.training.average and self.ranks.first):  # the first rank alone looks at it
            return self._model
        made = copy.deepcopy(self._model)
        self.training.average.write_into(made)
        return made

    def _summary(self) -> dict[str, Any]:
        """What came out, for scripts and for the report."""
        training, facts = self.training, self.training.facts
        return {
            "parameters": self._model.shape.parameters.total,
            "steps": training.progress.step,
            "targets": training.progress.tokens,
            "model": facts[MODEL],
            "held_out": facts[HELD_OUT],
            "gates": facts.get(GATES, {}),
            "decisions": training.guards.state()["decisions"],
            "averaged_steps": training.average.steps if training.average else 0,
        }

    @property
    def _model(self) -> Decoder:
        model = self.training.model
        assert isinstance(model, Decoder)
        return model

    def _decoder(self, state: Mapping[str, Any] | None) -> Decoder:
        """With the weights to start from, fresh ones where there are none; as a checkpoint has it, weights unset."""
        assert self.spec.model is not None
        model = ModelSpec.model_validate(state["facts"][MODEL]) if state else self.spec.model
        vocab_size = stages.vocab_size(model, self.tokenizer.largest_id + 1)
        self.micro_rows = micro_rows(model, vocab_size, self.spec, self.ranks)
        if state is None and self.start is not None:
            decoder = self.start.decoder
        else:
            seed = xxhash.xxh3_64_intdigest(f"weights {self.spec.seed}".encode())
            decoder = Decoder(model, vocab_size, generator=torch.Generator().manual_seed(seed))
        decoder.checkpoint_activations = self.spec.checkpoint_activations
        decoder = decoder.to(self.ranks.device)
        if self.spec.compile:
            compile_model(decoder)
        return decoder

    def _loop(self, stack: contextlib.ExitStack, stop: Stop, total: int, last: Path | None) -> Loop:
        """All that goes on around the steps; files on the first rank alone."""
        at, first = self.training.progress, self.ranks.first
        metrics = timing = writer = board = None
        if first:
            metrics = stack.enter_context(JsonLines(self.output / METRICS, at.step))
            timing = stack.enter_context(JsonLines(self.output / TIMING, at.step))
            if metrics.last < at.step:
                self.watcher.note(
                    f"{METRICS} ends with step {metrics.last}, the run goes on behind step {at.step}: the rows between "
                    "are lost, as when the file was changed or removed; the weights are not"
                )
            writer = stack.enter_context(
                CheckpointWriter(self.output / CHECKPOINTS, self.spec.keep_checkpoints, self.watcher.note, last)
            )
            board = Board(self.output / EVENTS, at.step)
            stack.callback(board.close)
        clock = Clock(self.ranks, timing, self._model.shape.flops, peak_flops(self.ranks.device))
        return Loop(
            training=self.training,
            ranks=self.ranks,
            clock=clock,
            metrics=metrics,
            writer=writer,
            stop=stop,
            checkpoint_every=max(1, int(self.spec.checkpoint_every * total)),
            precision=self.spec.precision,
            board=board,
            tell=lambda row: self.watcher.row(row, clock.last, total),
        )
