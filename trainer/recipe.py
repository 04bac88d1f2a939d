"""A trainer recipe by its name in pipelines.yaml, with `--set` laid over it."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from schemas.training import TrainingSpec
from storage.pipelines import PipelinesError, explain, find, pick, value_of


class RecipeError(PipelinesError):
    """A trainer recipe that can't be: what, where, and what is allowed."""


def load(reference: str, settings: Sequence[str] = ()) -> tuple[str, TrainingSpec]:
    """Finds a recipe by name in our own file, or as `FILE.yaml#name` in the user's.

    Args:
      reference: the name.
      settings: `path.to.key=value` over the entry, values in YAML; stages go by name: `stages.anneal.tokens`.

    Raises:
      PipelinesError: no such file, recipe or key, or a value of the wrong kind; it says where and what is allowed.
    """
    path, name = find(reference)
    return name, change(name, pick(path, "training", name).training[name], settings)


def change(name: str, spec: TrainingSpec, settings: Sequence[str]) -> TrainingSpec:
    """The recipe with settings laid over it, validated again."""
    raw = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["stages"] = {stage["name"]: stage for stage in raw["stages"]}
    for setting in settings:
        key, value = value_of(setting)
        *places, last = key.split(".")
        at: Any = raw
        for place in places:
            at = at.setdefault(place, {}) if isinstance(at, dict) and (at is not raw["stages"] or place in at) else None
        if not isinstance(at, dict) or at is raw["stages"] or key == "stages":
            raise RecipeError(
                f"--set {setting!r}: {name} has no {key!r} that could be set; what a stage has goes by its name, as "
                f"stages.NAME.tokens=5k, and its stages are {', '.join(raw['stages'])}"
            )
        at[last] = value
    raw["stages"] = list(raw["stages"].values())
    try:
        return TrainingSpec.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{name}: {explain(error, TrainingSpec)}") from error
