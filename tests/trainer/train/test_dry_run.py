"""A dry run refuses what a run would refuse before its first step."""

from pathlib import Path

import pytest

from schemas.training import TrainingSpec
from tests.trainer import nano
from trainer.errors import TrainerError
from trainer.train.dry_run import dry_run


@pytest.mark.parametrize(
    ("held_out", "tokens", "why"),
    [
        (0.0, 2_000, "the gate of stage 'second' needs held-out text"),
        (0.1, 10**7, r"stage 'second' wants 10,000,000 targets .*; give the stage at most [0-9,]+ tokens"),
    ],
)
def test_what_a_run_would_refuse(tmp_path: Path, held_out: float, tokens: int, why: str) -> None:
    raw = nano.spec().model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["stages"][1] |= {"gate": {"recovered": 2.0}, "tokens": tokens}
    spec: TrainingSpec = nano.spec(stages=raw["stages"], held_out=held_out)
    with pytest.raises(TrainerError, match=why):
        dry_run(spec, {"": str(nano.corpus(tmp_path / "data", 40))}, None, str(tmp_path / "segments"))
