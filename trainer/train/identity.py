"""run.json: what decides a run's result. An output goes on with the same, and refuses anything else.

It is written twice: a beginning, as soon as the folder is taken, which holds what is known then; and the whole, right
before the first step. An output with a beginning alone has nothing to lose: another run may take it.
"""

import json
import shutil
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
_FREE = {
    "description",
    "checkpoint_every",
    "keep_checkpoints",
    "micro_rows",
    "compile",
    "checkpoint_activations",
    "stages",
}
"""Parts of a recipe that may change between one start and the next: what is kept, and what fits a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What decides the result, but for the machine."""

    recipe: str
    spec: TrainingSpec
    start: str
    """What the weights were at the start: a checkpoint or a folder; empty for fresh ones."""
    tokenizer: str = ""
    """sha256 of its tokenizer.json; empty where it is not made yet."""
    segments: Mapping[str, str] | None = None
    """Source -> key of its segments: the data and the tokenizer; None where they are not made yet."""

    def take(self, output: Path, owned: tuple[str, ...], fresh: bool) -> None:
        """Makes a folder this run's before its tokenizer and segments are known, or sees that it may be.

        Args:
          output: The folder, which is there.
          owned: Names of all that a run leaves in its output.
          fresh: Whether what another run left is to be deleted.

        Raises:
          ForeignError: It holds another run, or files that no training left; names what differs, or the file.
        """
        told = _read(output)
        if told is None and (found := [name for name in owned if (output / name).exists()]):
            raise ForeignError(
                f"{str(output)!r} holds {found[0]!r}, which no training left there; give another --output"
            )
        if told is not None:
            if not (fresh or told["begun"]) and told["decisive"] == self._decisive():
                return
            if not fresh and told["begun"]:
                self._compare(told["decisive"], output)
                return
            clear(output, owned)
        self._write(output, begun=False)

    def claim(self, output: Path) -> None:
        """Writes it all, or sees that what stands there is the same.

        Raises:
          ForeignError: It is another; names what differs.
        """
        told = _read(output)
        if told is not None and told["begun"]:
            self._compare(told["decisive"], output)
        else:
            self._write(output, begun=True)

    def _decisive(self) -> dict[str, Any]:
        recipe = self.spec.model_dump(mode="json", by_alias=True, exclude=_FREE)
        stages = [stage.model_dump(mode="json", by_alias=True, exclude={"gate"}) for stage in self.spec.stages]
        told = {"recipe": {**recipe, "stages": stages}, "start": self.start}
        if self.tokenizer:
            told["tokenizer"] = self.tokenizer
        if self.segments is not None:
            told["segments"] = dict(self.segments)
        return told

    def _compare(self, theirs: Mapping[str, Any], output: Path) -> None:
        mine = self._decisive()
        if differing := _differing({key: theirs.get(key) for key in mine}, mine):
            key, before, now = differing
            raise ForeignError(
                f"{str(output)!r} holds a run with {key} = {before!r}, this one has {now!r}; give another --output, or "
                "--fresh to start anew there"
            )

    def _write(self, output: Path, *, begun: bool) -> None:
        told = {
            "name": self.recipe,
            "begun": begun,
            "gates": [stage.gate and stage.gate.model_dump(mode="json") for stage in self.spec.stages],
            "gristmill": version("gristmill"),
            "torch": torch.__version__,
            "decisive": self._decisive(),
        }
        replace_atomic(str(output / RUN), json.dumps(told, indent=1, ensure_ascii=False).encode())


def clear(output: Path, owned: tuple[str, ...]) -> None:
    """Deletes what a run has left in its output, and nothing else there; run.json last."""
    for name in sorted(owned, key=lambda name: name == RUN):
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read(output: Path) -> dict[str, Any] | None:
    """What run.json says, None where there is none.

    Raises:
      ForeignError: No training wrote it.
    """
    path = output / RUN
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_bytes())
        if isinstance(told["begun"], bool) and isinstance(told["decisive"], dict):
            return dict(told)
    except (ValueError, KeyError, TypeError):
        pass  # what else stands there: a curation's
    raise ForeignError(f"no training wrote {str(path)!r}: the folder is another command's; give another --output")


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
