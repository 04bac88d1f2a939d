"""What a recipe would do with its data: a summary a stage, nothing trained."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from schemas.training import TrainingSpec
from trainer import materials, own_tokenizer
from trainer.plan.summary import PlanSummary
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import stages
from trainer.train.gates import held_out


def dry_run(
    spec: TrainingSpec, data: Mapping[str, str], tokenizer: Tokenizer | None, segments: str
) -> list[tuple[str, PlanSummary]]:
    """Tokenises where that has not been done, and compiles the stages' plans in a temporary folder.

    Args:
      spec: The recipe, with a model.
      data: Name -> path.
      tokenizer: The run's; None: one is trained as the run would.
      segments: Where tokenised data is kept; empty: the cache.

    Returns:
      (name, summary) of every stage.

    Raises:
      TrainerError: As the run would before its first step, but for want of memory.
    """
    materials.check(spec, data)
    assert spec.model is not None
    stages.vocab_size(spec.model, tokenizer.largest_id + 1 if tokenizer else spec.tokenizer.vocab_size)
    own = tokenizer or own_tokenizer.trained(spec, data)
    made = materials.gather(spec, data, own, segments)
    held_out(spec, {stage.name: made for stage in spec.stages if stage.gate}, own)
    found: list[tuple[str, PlanSummary]] = []
    with tempfile.TemporaryDirectory(prefix="gristmill-plan-") as plans:
        for stage in spec.stages:
            pairs = stage.loss.name == "dpo"
            plan = stages.pairs(stage, spec, made) if pairs else stages.plan(stage, spec, made, Path(plans))
            found.append((stage.name, plan.summary()))
    return found
