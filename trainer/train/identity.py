"""run.json: what decides a run's result. An output goes on with the same, and refuses what would make it another run.

It is written twice: a beginning, as soon as the folder is taken, which holds what is known then; and the whole, right
before the first step. An output with a beginning alone has nothing to lose: another run may take it.

Two things may change while a run is not finished. Learning rates and the optimizer's factors decide neither the order
of data nor the shape of a tensor: they count from the next step on, and `changes` tells which step that was. Data that
has grown or changed enters at the next stage: `segments` holds each stage's own, and a stage keeps what it began with
as soon as a checkpoint stands in it or behind it.
"""

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from schemas.training import TrainingSpec
from storage.commit import replace_atomic
from trainer.errors import ForeignError, IntegrityError
from trainer.tokenizer import tokenizer as files
from trainer.tokenizer.tokenizer import Tokenizer

RUN, PLANS, SUCCESS = "run.json", "plan", "_SUCCESS"
_FREE = {
    "description",
    "checkpoint_every",
    "keep_checkpoints",
    "micro_batch_size",
    "compile",
    "checkpoint_activations",
}
"""Parts of a recipe that may change between one start and the next: what is kept, and what fits a machine."""
_MAY_CHANGE = re.compile(
    r"recipe\.(optimizer\.(betas|eps|weight_decay|clip|muon_lr|momentum)|guards|stages\.\d+\.lr)(\.\w+)?"
)
"""Places whose values may change while a run is not finished, from a step on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A value that is not what the run began with."""

    step: int
    """The first that it counts for."""
    what: str
    """`recipe.stages.0.lr.from`."""
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.what} was {self.before!r}, is {self.now!r} from step {self.step} on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What decides the result, but for the machine."""

    recipe: str
    spec: TrainingSpec
    start: str
    """What the weights were at the start: a checkpoint or a folder; empty for fresh ones."""
    tokenizer: Tokenizer | None = None
    """None where it is not made yet."""

    def take(self, output: Path, owned: tuple[str, ...], fresh: bool) -> None:
        """Makes a folder this run's before its tokenizer and segments are known, or sees that it may be.

        Args:
          output: The folder, which is there.
          owned: Names of all that a run leaves in its output.
          fresh: Whether what another run left is to be deleted.

        Raises:
          ForeignError: It holds another run, or files that no training left; names what differs, or the file.
          IntegrityError: run.json is damaged.
        """
        record = _read(output)
        if record is None and (found := [name for name in owned if (output / name).exists()]):
            raise ForeignError(
                f"{str(output)!r} holds {found[0]!r}, which no training left there; give another --output"
            )
        if record is not None:
            if not fresh and record["begun"]:
                self._changes(record, output, 0)
                return
            if not fresh and record["decisive"] == self._decisive():
                return
            clear(output, owned)
        self._write(output, begun=False, segments={}, changes=())

    def segments(self, output: Path, at: int, given: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        """What each stage takes that is not over.

        Args:
          output: The folder, taken.
          at: Number of the stage that the newest checkpoint stands in or behind; -1 where there is none.
          given: Source -> key of its segments, of the data that is given now.

        Returns:
          Stage -> source -> key: the stage `at` what it began with, those behind it what is given.

        Raises:
          ForeignError: The run is finished, with other data.
        """
        found = {stage.name: given for stage in self.spec.stages[max(at, 0) :]}
        record = _read(output)
        if record is None or at < 0:
            return found
        name = self.spec.stages[at].name
        found[name] = record["segments"][name]
        if (output / SUCCESS).exists():
            for place, before, now in _differences(found[name], given, f"segments.{name}"):
                raise _foreign(output, place, before, now)
        return found

    def claim(self, output: Path, step: int, segments: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Writes it all, or sees what is not as it was. Windows over data that a stage takes no longer are deleted.

        Args:
          output: The folder, taken.
          step: The last one that is done.
          segments: What `segments` gave.

        Returns:
          What has changed, in words.

        Raises:
          ForeignError: It is another run; names what differs.
        """
        record = _read(output)
        if record is None or not record["begun"]:
            self._write(output, begun=True, segments=segments, changes=())
            return []
        new = self._changes(record, output, step + 1)
        # what was changed at a step that is done again counts from the repetition on
        before = [Change(**{**change, "step": min(change["step"], step + 1)}) for change in record["changes"]]
        notes = [str(change) for change in new]
        if others := [name for name, keys in segments.items() if keys != record["segments"][name]]:
            for name in others:
                if (output / PLANS / name).exists():
                    shutil.rmtree(output / PLANS / name)
            notes.append(f"the data is not what it was: what is given now counts from stage {others[0]!r} on")
        if notes or before != [Change(**change) for change in record["changes"]]:
            self._write(output, begun=True, segments={**record["segments"], **segments}, changes=(*before, *new))
        return notes

    def _decisive(self) -> dict[str, Any]:
        recipe = self.spec.model_dump(mode="json", by_alias=True, exclude={*_FREE, "stages"})
        stages = [stage.model_dump(mode="json", by_alias=True, exclude={"gate"}) for stage in self.spec.stages]
        decisive = {"recipe": {**recipe, "stages": stages}, "start": self.start}
        if self.tokenizer:
            decisive["tokenizer"] = self.tokenizer.sha256
            decisive["tokenizer_config"] = hashlib.sha256(self.tokenizer.config).hexdigest()
        return decisive

    def _changes(self, record: Mapping[str, Any], output: Path, step: int) -> list[Change]:
        """Where this differs from what stands in run.json; all of it may."""
        mine, finished = self._decisive(), (output / SUCCESS).exists()
        found = list(_differences({key: record["decisive"].get(key) for key in mine}, mine))
        for place, before, now in found:
            if finished or not _MAY_CHANGE.fullmatch(place):
                raise _foreign(output, place, before, now)
        return [Change(step=step, what=place, before=before, now=now) for place, before, now in found]

    def _write(
        self,
        output: Path,
        *,
        begun: bool,
        segments: Mapping[str, Mapping[str, str]],
        changes: tuple[Change, ...],
    ) -> None:
        record = {
            "name": self.recipe,
            "begun": begun,
            "gates": [stage.gate and stage.gate.model_dump(mode="json") for stage in self.spec.stages],
            "gristmill": version("gristmill"),
            "torch": torch.__version__,
            "decisive": self._decisive(),
            "segments": segments,
            "changes": [dataclasses.asdict(change) for change in changes],
        }
        replace_atomic(str(output / RUN), json.dumps(record, indent=1, ensure_ascii=False).encode())


def see_tokenizer(output: Path, folder: Path) -> None:
    """Sees that a run's tokenizer is still the one that run.json names. Where there is no run.json, none is named.

    Args:
      output: The run's folder.
      folder: Its tokenizer's, within.

    Raises:
      IntegrityError: A file is missing, is another, or came later; or run.json is damaged.
      ForeignError: No training wrote run.json.
    """
    record = _read(output)
    if record is None or "tokenizer" not in record["decisive"] or not (record["begun"] or folder.exists()):
        return
    named = {files.TOKENIZER: "tokenizer", files.CONFIG: "tokenizer_config", files.TEMPLATE: ""}
    for name, key in named.items():
        path, wanted = folder / name, record["decisive"].get(key)
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        if found == wanted:
            continue
        if wanted is None:
            raise IntegrityError(f"{str(path)!r} is not the run's: what it says would count; remove it")
        what = f"has sha256 {found}" if found else "is missing"
        raise IntegrityError(
            f"{str(path)!r} {what}, but {str(output / RUN)!r} names {wanted}: the run was trained with another; put "
            "it back from a copy of the run or an export of it"
        )


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
      IntegrityError: It is no JSON, so nobody can tell who did.
    """
    path = output / RUN
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(
            f"{str(path)!r} is no JSON: {error}; it may be a damaged file of a run: put it back from a copy, or start "
            "anew with another --output, or here once the folder is removed by hand"
        ) from error
    kinds = {"begun": bool, "decisive": dict, "segments": dict, "changes": list}
    if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        return record
    raise ForeignError(f"no training wrote {str(path)!r}: the folder is another command's; give another --output")


def _foreign(output: Path, place: str, before: Any, now: Any) -> ForeignError:
    return ForeignError(
        f"{str(output)!r} holds a run with {place} = {before!r}, this one has {now!r}; give another --output, or "
        "--fresh to start anew there"
    )


def _differences(theirs: Any, mine: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places where two differ, with both values."""
    if isinstance(theirs, Mapping) and isinstance(mine, Mapping):
        for key in {**theirs, **mine}:
            yield from _differences(theirs.get(key), mine.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(theirs, list) and isinstance(mine, list) and len(theirs) == len(mine):
        for number, pair in enumerate(zip(theirs, mine, strict=True)):
            yield from _differences(*pair, f"{place}.{number}")
    elif theirs != mine:
        yield place, theirs, mine
