"""What is measured between stages: over the stage's own documents, in the run's precision."""

from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.training import TrainingSpec
from tests.trainer import nano
from tests.trainer.evaluate.models import decoder, tokenizer
from trainer.evaluate.held_out import ROWS, HeldOut, held_out_documents
from trainer.evaluate.needle import needle
from trainer.materials import Materials, gather
from trainer.train.gates import Gates
from trainer.train.ranks import Ranks
from trainer.train.training import Facts

OWN = tokenizer()
ALONE = Ranks(0, 1, torch.device("cpu"))


def recipe(**changes: Any) -> TrainingSpec:
    """Two sources of one folder; the second stage mixes both, three to one."""
    raw = nano.spec().model_dump(mode="json", by_alias=True, exclude_unset=True)
    first, second = raw["stages"]
    first["mix"], second["mix"] = {"english": 1}, {"english": 3, "korean": 1}
    second["gate"] = {"recovered": 9.0, "needle": 0.0}
    second["seq_len"] = 48
    sources = {"english": {"where": "language = 'en'"}, "korean": {"where": "language = 'ko'", "share": [0, 0.8]}}
    return nano.spec(stages=[first, second], sources=sources, held_out=0.5, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    folder: Path = tmp_path_factory.mktemp("gates")
    data = nano.corpus(folder / "data", 240)
    return gather(recipe(), {"": str(data)}, OWN, str(folder / "segments"))


def measured(spec: TrainingSpec, made: Materials) -> Facts:
    """The facts behind both stages."""
    facts = Facts()
    gates = Gates(spec, {stage.name: made for stage in spec.stages}, OWN, ALONE, lambda _: None)
    for stage in spec.stages:
        gates.before(decoder(OWN), stage, facts)
        gates.behind(decoder(OWN), stage, facts)
    return facts


def test_a_stage_is_measured_on_its_own_sources(made: Materials) -> None:
    spec = recipe()
    english, korean = (
        held_out_documents(name, spec.sources[name], made.library.folders[made.folders[name]], 0.5)
        for name in ("english", "korean")
    )
    facts = measured(spec, made)
    both = HeldOut([*english[:48], *korean[:16]], OWN)
    assert len(english) == ROWS
    assert len(korean) > 16
    assert facts.held_out["first"]["loss"] == HeldOut(english, OWN).loss(decoder(OWN), 24).loss
    assert facts.held_out["second"]["loss"] == both.loss(decoder(OWN), 48).loss
    assert facts.gates["second"]["loss"] == both.loss(decoder(OWN), 16).loss


def test_in_the_runs_precision(made: Materials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which on a CPU is float32 always; with a device that computes in bfloat16 all of it is."""
    facts = measured(recipe(precision="bf16"), made)
    assert facts == measured(recipe(precision="float32"), made)
    seen: list[torch.dtype] = []

    def rounded(device: torch.device, precision: str) -> Any:
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")

    def watched(model: Any, *args: Any) -> float:
        seen.append(model(torch.zeros(1, 2, dtype=torch.int64)).dtype)
        return needle(model, *args)

    monkeypatch.setattr("trainer.train.gates.autocast", rounded)
    monkeypatch.setattr("trainer.evaluate.held_out.needle", watched)
    rough = measured(recipe(precision="bf16"), made)
    assert seen == [torch.bfloat16]
    for name in ("first", "second"):
        fine = facts.held_out[name]["loss"]
        assert rough.held_out[name]["loss"] != fine
        assert rough.held_out[name]["loss"] == pytest.approx(fine, rel=0.02)
    assert measured(recipe(precision="float32"), made) == facts
