"""All that decides a stage's rows, as one hash: windows of one plan never mix with another's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.training import SourceSpec, StageSpec
from trainer.errors import TrainerError
from trainer.segments.library import Library

_VERSION = 2
"""Raised whenever the same recipe and segments would give other rows."""
_STAGE = {"name", "mix", "tokens", "epochs", "max_epochs", "seq_len", "batch"}
_SOURCE = {"kind", "where", "share"}


@dataclass(frozen=True, kw_only=True)
class PlanSpec:
    """A stage over segments."""

    stage: StageSpec
    sources: Mapping[str, SourceSpec]
    """Those that the stage mixes, in the order of their names."""
    seed: int
    held_out: float
    segments: Mapping[str, str]
    """Source -> hash of its folder of segments, and of where its numbers begin in the library."""

    @cached_property
    def hash(self) -> str:
        """64 hex digits."""
        return _hash(
            {
                "version": _VERSION,
                "stage": self.stage.model_dump(mode="json", include=_STAGE),
                "sources": {name: spec.model_dump(mode="json", include=_SOURCE) for name, spec in self.sources.items()},
                "seed": self.seed,
                "held_out": self.held_out,
                "segments": dict(self.segments),
            }
        )


def plan_spec(
    stage: StageSpec,
    sources: Mapping[str, SourceSpec],
    seed: int,
    held_out: float,
    library: Library,
    folders: Mapping[str, int],
) -> PlanSpec:
    """What a stage needs of a recipe and its segments.

    Raises:
        TrainerError: The stage can't be packed from these sources.
    """
    if stage.loss.name == "dpo":
        raise TrainerError(f"stage {stage.name!r} has loss 'dpo': its pairs are no rows of a packed plan")
    used = sorted({name for _, mix in stage.mix for name, weight in mix.items() if weight > 0})
    segments = {}
    for name in used:
        if name not in folders:
            raise TrainerError(f"stage {stage.name!r} mixes source {name!r}, which has no segments; tokenize it first")
        manifest = library.folders[folders[name]].manifest
        if manifest.kind != sources[name].kind or manifest.kind == "preference":
            raise TrainerError(
                f"source {name!r} is of kind {sources[name].kind!r}, its segments of {manifest.data!r} are of kind "
                f"{manifest.kind!r}; stage {stage.name!r} packs text and chat"
            )
        entries = [(s.blocks_sha256, s.documents, s.tokens, s.targets) for s in manifest.segments]
        segments[name] = _hash([manifest.key, library.number(folders[name], 0), entries])
    chosen = {name: sources[name] for name in used}
    return PlanSpec(stage=stage, sources=chosen, seed=seed, held_out=held_out, segments=segments)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
