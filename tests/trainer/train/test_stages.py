"""What a stage does to the model at its start, and what it can't."""

import pytest

from schemas.training import ModelSpec, RopeScaling, StageSpec, TrainingSpec
from trainer.errors import TrainerError
from trainer.model.decoder import Decoder
from trainer.train.stages import check_lengths, lengthen

SCALED = {"factor": 4, "original_context": 32}


def stage(seq_len: int, **rope: object) -> StageSpec:
    return StageSpec.model_validate(
        {"name": "s", "mix": {"web": 1}, "tokens": 100, "seq_len": seq_len, "lr": {"from": 1}}
        | ({"rope": rope} if rope else {})
    )


def test_a_stage_lengthens_and_turns_otherwise() -> None:
    decoder = Decoder(ModelSpec(family="llama", layers=1, dim=32, heads=2, context=32), 64)
    seen = []
    for one in (stage(64, factor=3), stage(48, scaling=SCALED), stage(128, theta=7.0), stage(16)):
        lengthen(decoder, one)
        spec = decoder.spec
        seen.append((spec.context, spec.rope_theta, spec.rope_scaling))
    scaled = RopeScaling(factor=4, original_context=32)
    assert seen == [(64, 3e4, None), (64, 3e4, scaled), (128, 7.0, scaled), (128, 7.0, scaled)]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (stage(33), "stage 's' has rows of 33 positions, a gpt2 model of context 32 has a table"),
        (stage(32, factor=2), r"stage 's' has rope \{'factor': 2\.0\}, a gpt2 model a table"),
    ],
)
def test_a_table_of_positions_stays_as_it_is(one: StageSpec, words: str) -> None:
    gpt2 = ModelSpec(family="gpt2", layers=1, dim=32, heads=2, context=32)
    spec = TrainingSpec(model=gpt2, sources={"web": {}}, stages=(one,))
    with pytest.raises(TrainerError, match=words):
        check_lengths(gpt2, spec)
    check_lengths(gpt2.model_copy(update={"family": "llama"}), spec)
