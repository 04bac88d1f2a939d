"""pipelines.yaml's trainer recipes: each one is whole, settings land where they say, mistakes name their place."""

import json
from pathlib import Path

import pytest

from schemas.training import TrainingSpec
from storage.pipelines import PipelinesError, builtin_file, parse
from trainer.recipe import RecipeError, change, load

SPEC = TrainingSpec.model_validate(
    {
        "model": {"family": "llama", "layers": 2, "dim": 32, "heads": 4, "kv_heads": 2, "context": 64},
        "sources": {"web": {}, "sums": {"kind": "chat", "generate": "arithmetic"}},
        "stages": [
            {
                "name": "core",
                "mix": [[0, {"web": 1}], ["10k", {"web": 3, "sums": 1}]],
                "tokens": "2.5M",
                "seq_len": [[0, 32], [1000, 64]],
                "lr": {"shape": "cosine", "from": 1e-3, "to": 0},
            }
        ],
    }
)


def test_amounts_and_ramps_are_read() -> None:
    stage = SPEC.stages[0]
    assert stage.tokens == 2_500_000
    assert stage.seq_len == ((0, 32), (1000, 64))
    assert stage.mix == ((0, {"web": 1.0}), (10_000, {"web": 3.0, "sums": 1.0}))
    assert stage.batch == ((0, 524_288),)
    assert (stage.lr.start, stage.lr.end) == (1e-3, 0)


def test_settings_are_laid_over() -> None:
    spec = change("r", SPEC, ["model.layers=3", "stages.core.tokens=5k", "stages.core.lr.to=1e-4", "seed=7"])
    assert (spec.model.layers, spec.stages[0].tokens, spec.stages[0].lr.end, spec.seed) == (3, 5000, 1e-4, 7)
    assert change("r", SPEC, []) == SPEC


MISTAKES: dict[str, tuple[str, str]] = {
    "no_value": ("seed", "--set 'seed': key=value was expected"),
    "no_yaml": ("seed=[", "--set 'seed=[': the value is no YAML: "),
    "no_key": ("model.wings=2", "r: model.wings = 2: Extra inputs are not permitted; allowed are family, layers, "),
    "no_field": (
        "stages.core.lr.start=5",
        "r: stages.0.lr.start = 5: Extra inputs are not permitted; allowed are shape, from, to, warmup, ",
    ),
    "no_top_key": ("wings=2", "r: wings = 2: Extra inputs are not permitted; allowed are description, seed, "),
    "no_stage": (
        "stages.kernel.tokens=1",
        "--set 'stages.kernel.tokens=1': r has no ",
    ),
    "whole_stage": ("stages.core=1", "--set 'stages.core=1': r has no 'stages.core' that could be set; "),
    "no_stages": ("stages=[]", "--set 'stages=[]': r has no 'stages' that could be set; what a stage has goes by "),
    "null_stages": ("stages=null", "--set 'stages=null': r has no 'stages' that could be set; "),
    "through_a_value": ("seed.x=1", "r: seed = "),
    "kind": ("model.layers=many", "r: model.layers = 'many': "),
    "heads": ("model.heads=5", "r: model = "),
    "ramp": ("stages.core.seq_len=[[5, 32]]", "r: stages.0.seq_len = "),
    "mix": ("stages.core.mix={bran: 1}", "r: the file: "),
    "batch": ("stages.core.batch=[[0, 64], [500, 32]]", "r: stages.0: stage "),
    "warmup": ("stages.core.lr.warmup=3M", "r: stages.0: stage "),
    "no_end": ("stages.core.lr.to=null", "r: stages.0.lr = "),
    "guards": ("guards.window=1", "r: guards.window = 1: Input should be greater than or equal to 4"),
    "eps": ("optimizer.eps=-3", "r: optimizer.eps = -3: Input should be greater than 0"),
    "betas": ("optimizer.betas=[1.5, 2]", "r: optimizer.betas.0 = 1.5: Input should be less than 1"),
    "clip": ("optimizer.clip=-1", "r: optimizer.clip = -1: Input should be greater than or equal to 0"),
    "not_finite": ("optimizer.weight_decay=.nan", "r: optimizer.weight_decay = nan: "),
    "momentum": ("optimizer.momentum=1", "r: optimizer.momentum = 1: Input should be less than 1"),
    "rope_change": ("stages.core.rope.factor=0", "r: stages.0.rope.factor = 0: Input should be greater than 0"),
    "rope_scaling": ("model.rope_scaling.factor=0", "r: model.rope_scaling.factor = 0: Input should be greater than 0"),
    "rope_band": ("model.rope_scaling.low_freq_factor=4", "r: model.rope_scaling = "),
    "beta": ("stages.core.loss.beta=0", "r: stages.0.loss.beta = 0: Input should be greater than 0"),
    "a_yes": ("stages.core.tokens=true", "r: stages.0.tokens = True: an amount is a number, such as 5000"),
    "a_no": ("stages.core.lr.warmup=no", "r: stages.0.lr.warmup = False: an amount is a number, "),
    "a_yes_in_a_ramp": ("stages.core.batch=[[0, yes]]", "r: stages.0.batch.0.1 = True: "),
    "both_lengths": ("stages.core.epochs=1", "r: stages.0: stage "),
}


@pytest.mark.parametrize(("setting", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_name_their_place(setting: str, words: str) -> None:
    with pytest.raises(PipelinesError) as caught:
        change("r", SPEC, [setting])
    assert str(caught.value).startswith(words)


def test_a_warmup_may_take_the_whole_stage() -> None:
    assert change("r", SPEC, ["stages.core.lr.warmup=2.5M"]).stages[0].lr.warmup == 2_500_000
    with pytest.raises(
        RecipeError, match=r"stage 'core' ends after 2,500,000 targets, in the midst of lr\.warmup, 2,500"
    ):
        change("r", SPEC, ["stages.core.lr.warmup=2500001"])
    by_epochs = ["tokens=null", "epochs=1", "mix={web: 1}", "lr.warmup=3M"]
    by_epochs = [f"stages.core.{setting}" for setting in by_epochs]
    assert change("r", SPEC, by_epochs).stages[0].lr.warmup == 3_000_000


def test_own_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {}", encoding="utf-8")
    with pytest.raises(PipelinesError, match=r"has no trainer recipe 'a'; it has none"):
        load(f"{path}#a")


def test_only_the_recipe_that_is_asked_for_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    ok = SPEC.model_dump(mode="json", by_alias=True, exclude_unset=True)
    typo = {**ok, "model": {**ok["model"], "family": "lama"}}
    path.write_text(json.dumps({"training": {"typo": typo, "ok": ok}, "curation": {"a": 5}}), encoding="utf-8")
    assert load(f"{path}#ok") == ("ok", SPEC)
    with pytest.raises(PipelinesError, match=r"training\.typo\.model\.family = 'lama'"):
        load(f"{path}#typo")
    with pytest.raises(PipelinesError, match=r"has no trainer recipe 'b'; it has typo, ok$"):
        load(f"{path}#b")


NAMES = (
    *("gpt2-124m", "gpt2-1.6b", "llama3.1", "qwen2"),
    *("gpt2-nano", "llama3.1-nano", "qwen2-nano"),
    *("sft-dpo", "sft-dpo-nano", "arithmetic-chat"),
)


def test_the_file_has_these_recipes() -> None:
    assert tuple(parse(builtin_file()).training) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-nano")])
def test_nano_recipes_are_small(name: str) -> None:
    spec = load(name)[1]
    assert sum(stage.tokens or 0 for stage in spec.stages) <= 200_000
    assert spec.checkpoint_every <= 0.1
    assert not spec.compile
    assert {source.data for source in spec.sources.values()} == {""}
    assert {stage.gate.on_fail for stage in spec.stages if stage.gate} <= {"continue"}
