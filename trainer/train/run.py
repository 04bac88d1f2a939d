"""A run: a recipe, data and an output folder; what is done there is gone on with.

The output holds run.json, tokenizer/, plan/STAGE/, checkpoints/, metrics.jsonl, timing.jsonl, events/ and, at the end,
summary.json, report.html and _SUCCESS.
"""

import contextlib
import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import xxhash

from schemas.training import GateSpec, ModelSpec, StageSpec, TrainingSpec
from storage.commit import replace_atomic
from storage.lock import Lock
from trainer import materials, report
from trainer.batch import Source
from trainer.errors import ForeignError, TrainerError, TrainingFailedError
from trainer.evaluate.held_out import HeldOut
from trainer.loader import PlanSource
from trainer.materials import Materials
from trainer.model.decoder import Decoder
from trainer.model.devices import peak_flops
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint, stages
from trainer.train.board import Board
from trainer.train.identity import RUN, Identity
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import METRICS, TIMING, JsonLines, Row
from trainer.train.precision import compile_model, make_deterministic
from trainer.train.ranks import Ranks, joined
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter
from trainer.trained import CHECKPOINTS, MODEL, TOKENIZER, Trained, open_trained

SUCCESS, REPORT, SUMMARY, PLANS, EVENTS = "_SUCCESS", "report.html", "summary.json", "plan", "events"
_OWN = (RUN, TOKENIZER, PLANS, CHECKPOINTS, METRICS, TIMING, EVENTS, SUMMARY, REPORT, SUCCESS)
"""All that a run leaves in its output."""
_GATES, _HELD_OUT, _BEFORE = "gates", "held_out", "loss_before"
"""Facts: what each gate saw and the held-out loss behind each stage, by stage; that loss before the present one."""


class Watcher(Protocol):
    """Whoever watches a run, on the first rank."""

    def note(self, words: str) -> None:
        """Something to tell once."""

    def row(self, row: Row, timing: Mapping[str, Any], total: int) -> None:
        """A step was done; `timing` is the newest row of timing.jsonl, `total` the whole run's targets."""


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


def train(
    name: str, spec: TrainingSpec, data: Mapping[str, str], output: Path, options: Options, watcher: Watcher
) -> bool:
    """Trains a recipe, from where its output stands to its end.

    Args:
      name: Of the recipe.
      spec: The recipe.
      data: Name -> path of what the sources read.
      output: A folder that all machines of the run share.
      options: See there.
      watcher: Is told of progress.

    Returns:
      False where a signal has stopped it; the same call goes on.

    Raises:
      TrainerError: The recipe, data, tokenizer or memory don't fit; nothing was trained.
      ForeignError: The output belongs to another run.
      IntegrityError: A file of the data, or every checkpoint, is damaged.
      TrainingFailedError: Training can't go on; the last good checkpoint stands.
    """
    start = open_trained(options.init, average=not options.anneal) if options.init else None
    spec = fitted(spec, start, options.anneal)
    materials.check(spec, data)
    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(joined(options.device))
        stop = stack.enter_context(Stop())
        if ranks.first:
            output.mkdir(parents=True, exist_ok=True)
            stack.enter_context(Lock(str(output / "lock")))
            if options.fresh:
                clear(output)
        make_deterministic(ranks.device, options.deterministic, spec.compile)
        made = prepared(spec, data, output, options, start, ranks)
        if ranks.first:
            Identity(
                recipe=name,
                spec=spec,
                segments=made.keys,
                tokenizer=made.tokenizer.sha256,
                start=_origin(start, options.init),
            ).claim(output)
        ranks.share_object(None)  # no rank begins before the claim stands
        return _Run(spec, made, output, ranks, stop, watcher, start, options.anneal).go(stack)


def clear(output: Path) -> None:
    """Deletes what a run has left in its output, and nothing else there."""
    for name in _OWN:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def fitted(spec: TrainingSpec, start: Trained | None, anneal: bool) -> TrainingSpec:
    """The recipe as it will run: with the shape of the model that is started from, annealing alone where asked.

    Raises:
      TrainerError: The recipe gives no model, or another one; or it has no stage `anneal`.
    """
    if anneal:
        kept = tuple(stage for stage in spec.stages if stage.name == "anneal")
        if not kept:
            raise TrainerError(f"no stage is named 'anneal'; the recipe has {[stage.name for stage in spec.stages]}")
        mixed = {name for stage in kept for _, mix in stage.mix for name in mix}
        sources = {name: source for name, source in spec.sources.items() if name in mixed}
        spec = spec.model_copy(update={"stages": kept, "sources": sources})
    if start is not None:
        own = start.decoder.spec
        for key in ("family", "layers", "dim", "heads", "tied"):
            if spec.model is not None and getattr(spec.model, key) != getattr(own, key):
                raise TrainerError(
                    f"model.{key} is {getattr(spec.model, key)!r} in the recipe, the model to start from has "
                    f"{getattr(own, key)!r}; leave the recipe's model out, or start from one of its shape"
                )
        spec = spec.model_copy(update={"model": own})
    if spec.model is None:
        raise TrainerError("the recipe gives no model of its own: say which to start from with --init DIR")
    stages.check_lengths(spec.model, spec)
    return spec


def prepared(
    spec: TrainingSpec, data: Mapping[str, str], output: Path, options: Options, start: Trained | None, ranks: Ranks
) -> Materials:
    """The tokenizer in the output, and the segments; made by the first rank, then opened by all."""
    folder = output / TOKENIZER
    if ranks.first:
        given = Tokenizer.load(options.tokenizer) if options.tokenizer else start.tokenizer if start else None
        if not folder.exists():
            (given or materials.trained_tokenizer(spec, data)).save(folder)
        own = Tokenizer.load(folder)
        if given is not None and own.sha256 != given.sha256:
            raise ForeignError(
                f"the run in {str(output)!r} has tokenizer {own.sha256[:16]}…, that of "
                f"{str(options.tokenizer or options.init)!r} is {given.sha256[:16]}…; give another --output, or "
                "--fresh to start anew there"
            )
        materials.gather(spec, data, own, options.segments)
    ranks.share_object(None)
    return materials.gather(spec, data, Tokenizer.load(folder), options.segments)


def _origin(start: Trained | None, path: str) -> str:
    if start is None:
        return ""
    return f"{Path(path).resolve()} step {start.checkpoint.step}" if start.checkpoint else str(Path(path).resolve())


def rows_of(stage: StageSpec) -> int:
    """Rows of the stage's widest step, of all ranks."""
    most = max(batch for _, batch in stage.batch)
    return 2 * most if stage.loss.name == "dpo" else most // min(length for _, length in stage.seq_len)


@dataclass(slots=True)
class _Run:
    """One start of a run, everything prepared."""

    spec: TrainingSpec
    made: Materials
    output: Path
    ranks: Ranks
    stop: Stop
    watcher: Watcher
    start: Trained | None
    anneal: bool
    training: Training = dataclasses.field(init=False)
    loop: Loop = dataclasses.field(init=False)
    held_out: HeldOut = dataclasses.field(init=False)

    def go(self, stack: contextlib.ExitStack) -> bool:
        """Stage after stage, from where the newest checkpoint stands."""
        found = checkpoint.latest(self.output / CHECKPOINTS, self.watcher.note) if self.ranks.first else None
        state = self.ranks.share_object(found.state if found else None)
        plans = self.output / PLANS
        sources = [stages.source(stage, self.spec, self.made, plans) for stage in self.spec.stages]
        self.training = Training(self._decoder(state), self.spec.optimizer)
        if state is not None:
            self.training.restore(state, found, self.ranks)
        else:
            if self.anneal and self.start and self.start.checkpoint:
                held = self.training.tensors()
                self.start.checkpoint.load({name: held[name] for name in held if name.startswith("optimizer/")})
            self.training.start_alike(self.ranks)
        texts = {folder for name, folder in self.made.folders.items() if self.spec.sources[name].kind == "text"}
        self.held_out = HeldOut(self.made.library, texts, self.spec.held_out, self.made.tokenizer)
        if any(stage.gate for stage in self.spec.stages) and not self.held_out.documents:
            raise TrainerError(
                f"held_out {self.spec.held_out!r} leaves no document to judge gates by; raise it, or give more text"
            )
        total = sum(source.total_targets for source in sources)
        self.loop = self._loop(stack, total, found.path if found else None)
        for number, (stage, source) in enumerate(zip(self.spec.stages, sources, strict=True)):
            if number >= self.training.progress.stage and not self._stage(number, stage, source):
                return False
        if self.ranks.first:
            replace_atomic(str(self.output / SUMMARY), json.dumps(self._summary(), indent=1).encode())
            report.write(self.output)
            (self.output / SUCCESS).touch()
        return True

    def _stage(self, number: int, stage: StageSpec, source: Source) -> bool:
        """A stage to its end and through its gate; False where a signal has stopped it."""
        training, facts = self.training, self.training.facts
        if number > training.progress.stage:
            facts[_BEFORE] = self._held_out_loss(self.spec.stages[0].seq_len[0][1])["loss"]
            if training.average:  # what follows an annealing starts from its average
                training.average.write_into(training.model)
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
            micro_rows=self._micro_rows(stage),
            together=2 if stage.loss.name == "dpo" else 1,
        )
        if not self.loop.train(part):
            return False
        if stage.name not in facts.setdefault(_HELD_OUT, {}):
            facts[_HELD_OUT][stage.name] = self._held_out_loss(stage.seq_len[-1][1])
        if stage.gate and stage.name not in facts.setdefault(_GATES, {}):
            self._judge(stage, stage.gate)
        return True

    def _judge(self, stage: StageSpec, gate: GateSpec) -> None:
        """Lets the run go on, or ends it; the measurements become part of the next checkpoint."""
        facts, measured = self.training.facts, None
        if self.ranks.first:
            short, length = self.spec.stages[0].seq_len[0][1], stage.seq_len[-1][1]
            measured = self.held_out.judge(self._model, gate, stage.name, short, facts[_BEFORE], length)
        measured = self.ranks.share_object(measured)
        assert measured is not None
        if not measured.passed and gate.on_fail == "stop":
            raise TrainingFailedError(
                f"the gate behind stage {stage.name!r} stays shut: {measured.why}; its last checkpoint stands: train "
                "the stage longer in another output, or go on all the same with "
                f"--set stages.{stage.name}.gate.on_fail=continue"
            )
        facts[_GATES][stage.name] = dataclasses.asdict(measured)
        if self.ranks.first:
            self.watcher.note(f"gate of {stage.name}: {'open' if measured.passed else 'passed by'}; {measured.why}")

    def _held_out_loss(self, length: int) -> dict[str, float | None]:
        """Loss and bits per byte on held-out documents; null where there are none."""
        found = None
        if self.ranks.first:
            loss = self.held_out.loss(self._model, length)
            told = {"loss": loss.loss, "bits_per_byte": loss.bits_per_byte, "length": length}
            found = {key: value if math.isfinite(value) else None for key, value in told.items()}
        shared: dict[str, float | None] = self.ranks.share_object(found)
        return shared

    def _summary(self) -> dict[str, Any]:
        """What came out, for scripts and for the report."""
        training, facts = self.training, self.training.facts
        return {
            "parameters": self._model.shape.parameters.total,
            "steps": training.progress.step,
            "targets": training.progress.tokens,
            "model": facts[MODEL],
            "held_out": facts[_HELD_OUT],
            "gates": facts.get(_GATES, {}),
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
        if state is None and self.start is not None:
            decoder = self.start.decoder
        else:
            assert self.spec.model is not None
            model = ModelSpec.model_validate(state["facts"][MODEL]) if state else self.spec.model
            seed = xxhash.xxh3_64_intdigest(f"weights {self.spec.seed}".encode())
            generator = torch.Generator().manual_seed(seed)
            decoder = Decoder(model, self._vocab_size(model), generator=generator)
        decoder.checkpoint_activations = self.spec.checkpoint_activations
        decoder = decoder.to(self.ranks.device)
        if self.spec.compile:
            compile_model(decoder)
        return decoder

    def _vocab_size(self, model: ModelSpec) -> int:
        largest = self.made.tokenizer.largest_id
        rows = model.vocab_size or -(-(largest + 1) // 64) * 64
        if rows <= largest:
            raise TrainerError(
                f"model.vocab_size is {rows}, the tokenizer's largest id {largest}; raise it to {largest + 1} at "
                "least, or leave it out"
            )
        return rows

    def _loop(self, stack: contextlib.ExitStack, total: int, last: Path | None) -> Loop:
        """All that goes on around the steps; files on the first rank alone."""
        at, first = self.training.progress, self.ranks.first
        metrics = timing = writer = board = None
        if first:
            metrics = stack.enter_context(JsonLines(self.output / METRICS, at.step))
            timing = stack.enter_context(JsonLines(self.output / TIMING, at.step))
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
            stop=self.stop,
            checkpoint_every=max(1, int(self.spec.checkpoint_every * total)),
            precision=self.spec.precision,
            board=board,
            tell=lambda row: self.watcher.row(row, clock.last, total),
        )

    def _micro_rows(self, stage: StageSpec) -> int:
        """Rows that go through the model at once: the recipe's, or as many as memory holds, at most a step's."""
        share = -(-rows_of(stage) // self.ranks.world)
        return self.spec.micro_rows or share
