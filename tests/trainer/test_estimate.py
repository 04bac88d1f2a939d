"""Counts, FLOPs, hours and price of recipes."""

from typing import Any

import pytest

from schemas.training import TrainingSpec
from trainer.errors import TrainerError
from trainer.estimate import MACHINES, PUBLISHED, of_recipe
from trainer.model.memory import Setting, estimate, in_words
from trainer.recipe import load


def recipe(stages: list[dict[str, Any]], **others: Any) -> TrainingSpec:
    """A small llama's, over one source."""
    model = {"family": "llama", "layers": 2, "dim": 64, "heads": 4, "context": 512, "vocab_size": 1000}
    named = [{"name": f"s{n}", "mix": {"a": 1}, "lr": {"from": 1e-3}} | stage for n, stage in enumerate(stages)]
    return TrainingSpec.model_validate({"model": model, "sources": {"a": {}}, "stages": named} | others)


def test_gpt2_is_as_large_as_published_and_near_its_time_and_price() -> None:
    found = of_recipe(*load("gpt2-1.6b", []))
    counts = found.shape.parameters
    assert counts.total == 1_557_686_400  # 1,557,611,200 with 50,257 rows, as released
    assert counts.total - (50_304 - 50_257) * 1600 == 1_557_611_200
    per_token = 6 * (counts.total - 1024 * 1600) + 12 * 48 * 1600 * 1024
    assert found.flops == 33_600_000_000 * per_token
    published = PUBLISHED["gpt2-1.6b"]
    assert found.machine.name == published.machine
    assert found.hours == pytest.approx(found.flops / (8 * 989e12 * 0.5) / 3600)
    assert found.hours == pytest.approx(published.hours, rel=0.05)
    assert found.dollars == pytest.approx(published.dollars, rel=0.05)
    assert found.tokens_per_second == pytest.approx(33.6e9 / found.hours / 3600)


def test_the_small_gpt2_has_124_million_parameters() -> None:
    found = of_recipe(*load("gpt2-124m", []))
    assert found.shape.parameters.total - (50_304 - 50_257) * 768 == 124_439_808


def test_llama_takes_more_than_a_gpu_holds() -> None:
    found = of_recipe(*load("llama3.1", []))
    assert found.shape.parameters.total == 8_030_261_248
    assert found.micro_batch_size is None
    lines = dict(found.lines())
    assert "not even one row fits" in lines[f"memory of a GPU ({found.widest})"]


def test_flops_follow_the_ramp_of_lengths() -> None:
    found = of_recipe("mine", recipe([{"tokens": 1000, "seq_len": [[0, 64], [300, 128]], "batch": 1024}]))
    short, long = (found.shape.flops(length) for length in (64, 128))
    assert found.flops == 300 * short + 700 * long
    cut = of_recipe("mine", recipe([{"tokens": 1000, "seq_len": [[0, 64], [5000, 128]], "batch": 1024}]))
    assert cut.flops == 1000 * short


def test_a_reference_goes_forwards_too_and_passes_are_not_guessed() -> None:
    stages = [{"tokens": 600, "seq_len": 64, "batch": 1024}, {"epochs": 2, "seq_len": 64, "batch": 1024}]
    stages.append({"tokens": 300, "seq_len": 64, "batch": 16, "loss": {"name": "dpo"}})
    found = of_recipe("mine", recipe(stages))
    each = found.shape.flops(64)
    assert [stage.flops for stage in found.stages] == [600 * each, None, 400 * each]
    assert found.flops == 1000 * each
    told = f"as many targets as its sources hold, {each:.3g} FLOPs each; not counted below"
    assert dict(found.lines())["stage s1"] == told


def test_passes_alone_have_no_time_before_the_data_is_read() -> None:
    ramp = {"epochs": 1, "seq_len": [[0, 64], [500, 128]], "batch": 1024}
    found = of_recipe("mine", recipe([ramp, {"epochs": 2, "seq_len": 64, "batch": 16, "loss": {"name": "dpo"}}]))
    short, long = (found.shape.flops(length) for length in (64, 128))
    assert [stage.flops_per_target for stage in found.stages] == [long, short * 4 // 3]
    lines = dict(found.lines())
    assert (
        lines["stage s1"] == f"as many targets as its sources hold, {short * 4 // 3:.3g} FLOPs each; not counted below"
    )
    assert lines["throughput"] == "3.96e+15 FLOPs/s at 50% of 8xH100's peak"
    assert lines["time and price"] == "depend on how many targets the sources hold, which --dry-run counts"


def test_memory_is_that_of_the_widest_stage() -> None:
    stages = [{"tokens": 600, "seq_len": [[0, 64], [9, 256]], "batch": [[0, 8192], [100, 65536]]}]
    stages.append({"tokens": 600, "seq_len": 64, "batch": 64, "average": True})
    found = of_recipe("mine", recipe(stages, precision="float32", compile=False))
    assert (found.widest, found.micro_batch_size) == ("s0", 65536 // 256 // 8)
    setting = Setting(precision="float32", body="sdpa")
    assert found.memory == estimate(found.shape, setting, rows=32, seq_len=256)
    averaged = estimate(found.shape, Setting(precision="float32", average=True), rows=1, seq_len=64)
    assert found.host == averaged.host > found.memory.host  # the other stage's
    assert dict(found.lines())["memory of the host"].startswith(f"{in_words(found.host)} pinned")
    assert of_recipe("mine", recipe(stages, micro_batch_size=3)).micro_batch_size == 3


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_can_be_asked_for(name: str) -> None:
    found = of_recipe("mine", recipe([{"tokens": 10**9, "seq_len": 64, "batch": 1024}]), name, utilisation=0.25)
    machine = MACHINES[name]
    assert (found.dollars is None) == (machine.dollars_an_hour is None)
    lines = dict(found.lines())
    assert f"at 25% of {name}'s peak" in lines["throughput"]
    assert ("no price known" in lines["time and price"]) == (machine.dollars_an_hour is None)
    assert "published" not in lines


def test_unknown_machines_and_recipes_without_a_model_are_told() -> None:
    spec = recipe([{"tokens": 10, "seq_len": 64, "batch": 64}])
    with pytest.raises(TrainerError, match="no machine is named 'abacus'; there are 8xA100"):
        of_recipe("mine", spec, "abacus")
    with pytest.raises(TrainerError, match="'mine' gives no model"):
        of_recipe("mine", spec.model_copy(update={"model": None}))
