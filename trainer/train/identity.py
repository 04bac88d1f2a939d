"""run.json: what decides a run's result. An output goes on with the same, and refuses anything else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from schemas.training import TrainingSpec
from storage.commit import replace_atomic
from trainer.errors import ForeignError

RUN = "run.json"
_FREE = {"description", "checkpoint_every", "keep_checkpoints", "stages"}
"""Parts of a recipe that may change between one start and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What decides the result, but for the machine."""

    recipe: str
    spec: TrainingSpec
    segments: Mapping[str, str]
    """Source -> key of its segments: the data and the tokenizer."""
    tokenizer: str
    """sha256 of its tokenizer.json."""
    start: str
    """What the weights were at the start: a checkpoint's or folder's path and step; empty for fresh ones."""

    def _decisive(self) -> dict[str, Any]:
        recipe = self.spec.model_dump(mode="json", by_alias=True, exclude=_FREE)
        stages = [stage.model_dump(mode="json", by_alias=True, exclude={"gate"}) for stage in self.spec.stages]
        return {
            "recipe": {**recipe, "stages": stages},
            "segments": dict(self.segments),
            "tokenizer": self.tokenizer,
            "start": self.start,
        }

    def claim(self, output: Path) -> None:
        """Writes it, or sees that what stands there is the same.

        Raises:
          ForeignError: It is another; names what differs.
        """
        path, mine = output / RUN, json.loads(json.dumps(self._decisive()))
        if path.exists():
            theirs = json.loads(path.read_bytes())["decisive"]
            if differing := _differing(theirs, mine):
                key, before, now = differing
                raise ForeignError(
                    f"{str(output)!r} holds a run with {key} = {before!r}, this one has {now!r}; give another "
                    "--output, or --fresh to start anew there"
                )
            return
        told = {
            "name": self.recipe,
            "gates": [stage.gate and stage.gate.model_dump(mode="json") for stage in self.spec.stages],
            "gristmill": version("gristmill"),
            "torch": torch.__version__,
            "decisive": mine,
        }
        replace_atomic(str(path), json.dumps(told, indent=1, ensure_ascii=False).encode())


def _differing(theirs: Any, mine: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two differ, with both values."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for key in {**theirs, **mine}:
            if found := _differing(theirs.get(key), mine.get(key), f"{place}.{key}" if place else str(key)):
                return found
        return None
    if isinstance(theirs, list) and isinstance(mine, list) and len(theirs) == len(mine):
        pairs = enumerate(zip(theirs, mine, strict=True))
        return next((found for n, pair in pairs if (found := _differing(*pair, f"{place}.{n}"))), None)
    return None if theirs == mine else (place, theirs, mine)
