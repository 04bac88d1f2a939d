"""What is measured between stages on held-out documents, and the gates that judge by it."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from schemas.training import GateSpec, StageSpec, TrainingSpec
from trainer.errors import TrainingFailedError
from trainer.evaluate.held_out import HeldOut, held_out_documents, parts
from trainer.evaluate.log_probs import Ids
from trainer.materials import Materials
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train.precision import autocast
from trainer.train.ranks import Ranks
from trainer.train.training import Facts


class Gates:
    """The first rank measures, in the run's precision, and all ranks know.

    A loss before and behind a stage is over the same documents.

    Args:
      spec: The recipe.
      made: By stage that is not over, its data: held out are documents of its sources there.
      tokenizer: The run's.
      ranks: Who takes part.
      note: Is told what a gate saw, on the first rank.

    Raises:
      TrainerError: A gate asks what can't be measured.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        made: Mapping[str, Materials],
        tokenizer: Tokenizer,
        ranks: Ranks,
        note: Callable[[str], None],
    ) -> None:
        self._ranks, self._note, self._precision = ranks, note, spec.precision
        self._short = spec.stages[0].seq_len[0][1]
        self._held_out = held_out(spec, made, tokenizer)

    def before(self, decoder: Decoder, stage: StageSpec, facts: Facts) -> None:
        """Notes the loss before a stage, also where it has no gate: one may be set until the stage ends."""
        facts.loss_before = self._loss(decoder, stage.name, self._short)["loss"]

    def behind(self, decoder: Decoder, stage: StageSpec, facts: Facts) -> None:
        """Notes the loss behind a stage and what its gate saw, unless they are known.

        Args:
          decoder: As the stage has made it; only the first rank's is looked at.
          stage: The stage.
          facts: The run's; part of the next checkpoint.

        Raises:
          TrainingFailedError: The gate stays shut.
        """
        if stage.name not in facts.held_out:
            facts.held_out[stage.name] = self._loss(decoder, stage.name, stage.seq_len[-1][1])
        if stage.gate and stage.name not in facts.gates:
            assert facts.loss_before is not None, stage.name  # where there is a gate, there are documents
            facts.gates[stage.name] = self._judged(decoder, stage, stage.gate, facts.loss_before)

    def _judged(self, decoder: Decoder, stage: StageSpec, gate: GateSpec, before: float) -> dict[str, Any]:
        measured = None
        if self._ranks.first:
            with autocast(self._ranks.device, self._precision):
                measured = self._held_out[stage.name].judge(decoder, gate, self._short, before, stage.seq_len[-1][1])
        measured = self._ranks.broadcast_object(measured)
        assert measured is not None
        if not measured.passed and gate.on_fail == "stop":
            raise TrainingFailedError(
                f"the gate behind stage {stage.name!r} stays shut: {measured.why}; its last checkpoint stands: train "
                "the stage longer in another output, or go on all the same with "
                f"--set stages.{stage.name}.gate.on_fail=continue"
            )
        if self._ranks.first:
            self._note(f"gate of {stage.name}: {'open' if measured.passed else 'passed by'}; {measured.why}")
        return dataclasses.asdict(measured)

    def _loss(self, decoder: Decoder, stage: str, length: int) -> dict[str, float | None]:
        """Loss and bits per byte on held-out documents of a stage's data; null where there are none."""
        found = None
        if self._ranks.first:
            with autocast(self._ranks.device, self._precision):
                loss = self._held_out[stage].loss(decoder, length)
            figures = {"loss": loss.loss, "bits_per_byte": loss.bits_per_byte, "length": length}
            found = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        shared: dict[str, float | None] = self._ranks.broadcast_object(found)
        return shared


def held_out(spec: TrainingSpec, made: Mapping[str, Materials], tokenizer: Tokenizer) -> dict[str, HeldOut]:
    """What stages are measured by.

    Args:
      spec: The recipe.
      made: Their materials, by stage; those of stages that are left out are not read.
      tokenizer: The run's.

    Raises:
      TrainerError: A gate asks what can't be measured.
    """
    measures = {}
    found: dict[tuple[str, str], list[Ids]] = {}  # read once for all stages
    for stage in (stage for stage in spec.stages if stage.name in made):
        documents: list[Ids] = []
        for name, count in parts(stage, spec.sources).items():
            segments = made[stage.name].library.folders[made[stage.name].folders[name]]
            key = name, segments.manifest.key
            if key not in found:
                found[key] = held_out_documents(name, spec.sources[name], segments, spec.held_out)
            documents += found[key][:count]
        measures[stage.name] = HeldOut(documents, tokenizer)
        if stage.gate:
            measures[stage.name].check(stage.gate, stage.name, stage.seq_len[-1][1])
    return measures
