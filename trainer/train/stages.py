"""A recipe's stages as the loop wants them: a source of batches, a loss, and what a stage does to the model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from schemas.training import ModelSpec, RopeChange, StageSpec, TrainingSpec
from trainer.batch import Batch
from trainer.errors import TrainerError
from trainer.loader import PlanSource
from trainer.losses.dpo import dpo
from trainer.losses.next_token import next_token
from trainer.materials import Materials
from trainer.model.decoder import Decoder
from trainer.plan.chain import Plan
from trainer.plan.pairs import PairPlan
from trainer.train.micro_batch_size import together
from trainer.train.training import Training

Loss = Callable[[Batch], tuple[Tensor, Tensor]]


def source(stage: StageSpec, spec: TrainingSpec, made: Materials, plans: Path) -> PlanSource:
    """The stage's batches.

    Raises:
      TrainerError: The stage can't be had from these sources.
    """
    if stage.loss.name == "dpo":
        return PlanSource(pairs(stage, spec, made), made.library, together=together(stage))
    return PlanSource(plan(stage, spec, made, plans), made.library)


def pairs(stage: StageSpec, spec: TrainingSpec, made: Materials) -> PairPlan:
    """The stage's preference pairs."""
    return PairPlan(stage, spec.sources, order_seed(spec), made.library, made.folders)


def plan(stage: StageSpec, spec: TrainingSpec, made: Materials, plans: Path) -> Plan:
    """The stage's packed rows."""
    store = plans / stage.name
    return Plan(stage, spec.sources, order_seed(spec), spec.held_out, made.library, made.folders, store)


def order_seed(spec: TrainingSpec) -> int:
    """What decides the data's order."""
    return spec.seed if spec.data_seed is None else spec.data_seed


def loss(stage: StageSpec, training: Training) -> Loss:
    """What the stage minimises, bound to its models."""
    decoder = training.model
    assert isinstance(decoder, Decoder)
    if stage.loss.name == "dpo":
        assert isinstance(training.reference, Decoder)
        return partial(_dpo, decoder, training.reference, stage)
    return partial(next_token, decoder)


def _dpo(decoder: Decoder, reference: Decoder, stage: StageSpec, batch: Batch) -> tuple[Tensor, Tensor]:
    return dpo(decoder, reference, batch, stage.loss)


def lengthen(decoder: Decoder, stage: StageSpec) -> None:
    """Gives the model the context that the stage's rows need, and the rotary frequencies it asks for."""
    longest = max(length for _, length in stage.seq_len)
    spec, change = decoder.spec, stage.rope or RopeChange()
    theta = spec.rope_theta * change.factor if change.theta is None else change.theta
    decoder.set_context(max(spec.context, longest), theta, change.scaling or spec.rope_scaling)


def vocab_size(model: ModelSpec, ids: int) -> int:
    """Rows of the embedding.

    Args:
      model: What says how many, or leaves it open.
      ids: The tokenizer's largest id + 1; before it is trained, as many as it may have.

    Raises:
      TrainerError: They are fewer than the ids.
    """
    rows = model.vocab_size or -(-ids // 64) * 64
    if rows < ids:
        raise TrainerError(
            f"model.vocab_size is {rows}, the tokenizer's largest id {ids - 1}; raise it to {ids} at least, or leave "
            "it out"
        )
    return rows


def check_lengths(model: ModelSpec, spec: TrainingSpec) -> None:
    """A learned table of positions can't grow, and has no rotary frequencies.

    Raises:
      TrainerError: A stage's rows are longer than the table, or it changes what is not there.
    """
    if model.family != "gpt2":
        return
    for stage in spec.stages:
        longest = max(length for _, length in stage.seq_len)
        if stage.rope:
            raise TrainerError(
                f"stage {stage.name!r} has rope {stage.rope.model_dump(exclude_unset=True)!r}, a gpt2 model a table of "
                "positions and nothing to turn; leave rope out, or take family llama or qwen2"
            )
        if longest > model.context:
            raise TrainerError(
                f"stage {stage.name!r} has rows of {longest} positions, a gpt2 model of context {model.context} has a "
                "table of that many; lower seq_len, or raise model.context"
            )
