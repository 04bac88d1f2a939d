"""The nano recipes of pipelines.yaml, run as they stand: every mechanism fires, and they learn."""

import itertools
import json
from collections.abc import Callable
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
import torch

from schemas.training import RopeScaling
from storage.pipelines import builtin_file, parse
from tests.trainer.nano import Made, recipe
from trainer.evaluate.bits_per_byte import Text, evaluate
from trainer.plan.chain import Plan
from trainer.plan.shares import is_held_out
from trainer.plan.window import Window
from trainer.segments.library import Library
from trainer.segments.read import Segments
from trainer.train import checkpoint
from trainer.trained import open_trained

PRETRAINED = ("gpt2-nano", "llama3.1-nano", "qwen2-nano")
NAMES = (*PRETRAINED, "sft-dpo-nano")
Nano = Callable[[str], Made]


def test_all_are_here() -> None:
    assert {name for name in parse(builtin_file()).training if name.endswith("-nano")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_runs_and_ends(nano_run: Nano, name: str) -> None:
    made = nano_run(name)
    assert (made.output / "_SUCCESS").exists()
    rows = made.rows
    assert list(stages(rows)) == [stage.name for stage in recipe(name).stages]
    assert rows[-1]["tokens"] <= 200_000
    assert made.summary["decisions"] == []
    assert (made.output / "report.html").stat().st_size > 5_000


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_every_tenth(nano_run: Nano, name: str) -> None:
    rows = nano_run(name).rows
    tokens = {row["step"]: row["tokens"] for row in rows}
    saved = sorted(int(path.name[5:]) for path in (nano_run(name).output / "checkpoints").iterdir())
    assert saved[-1] == rows[-1]["step"]
    longest = max(b - a for a, b in pairwise([0, *(tokens[step] for step in saved)]))
    assert longest <= rows[-1]["tokens"] / 10


@pytest.mark.parametrize("name", PRETRAINED)
def test_learns(nano_run: Nano, name: str) -> None:
    """By far more than the half nat that is asked, on what it trained on and beyond."""
    made = nano_run(name)
    first, last = made.rows[0]["loss"], made.rows[-1]["loss"]
    assert last < first - 1.0
    held_out = made.summary["held_out"]
    assert all(told["loss"] < first - 1.0 for told in held_out.values())


def test_fine_tuning_learns(nano_run: Nano) -> None:
    """Both losses fall; preferences begin at ln 2 and a fifth of the answer's loss."""
    found = stages(nano_run("sft-dpo-nano").rows)
    by_stage = {name: [row["loss"] for row in rows] for name, rows in found.items()}
    assert set(by_stage) == {"sft", "dpo"}
    for losses in by_stage.values():
        tenth = len(losses) // 10
        assert np.mean(losses[-tenth:]) < np.mean(losses[:tenth])
    assert 0.69 < by_stage["dpo"][0] < 2.0


def test_ramps(nano_run: Nano) -> None:
    core = stages(nano_run("llama3.1-nano").rows)["core"]
    assert [length for length, _ in groupby(row["seq_len"] for row in core)] == [16, 32]
    sizes = [b["tokens"] - a["tokens"] for a, b in pairwise(core)]
    by_batch = [sizes[: len(sizes) // 10], sizes[-len(sizes) // 2 :]]
    assert np.mean(by_batch[1]) > 1.5 * np.mean(by_batch[0])
    assert core[0]["lr"] < max(row["lr"] for row in core) / 5  # warm-up
    assert core[-1]["lr"] < max(row["lr"] for row in core) / 3  # cosine


def test_context_steps_behind_gates(nano_run: Nano) -> None:
    made = nano_run("llama3.1-nano")
    rows, summary = made.rows, made.summary
    lengths = {48, 64, 96, 128, 192, 256}
    assert {row["seq_len"] for row in rows} == {16, 32, *lengths}
    assert set(summary["gates"]) == {f"context-{length}" for length in lengths}
    for name, gate in summary["gates"].items():
        assert gate["loss"] > 0, name
        assert gate["needle"] in [n / 20 for n in range(21)]
        assert {row["seq_len"] for row in stages(rows)[name]} == {int(name.removeprefix("context-"))}
    assert summary["model"]["context"] == 256
    scaled = RopeScaling(factor=8, original_context=32)
    assert RopeScaling.model_validate(summary["model"]["rope_scaling"]) == scaled
    assert summary["model"]["rope_theta"] == 10_000


def test_annealing_leaves_an_average(nano_run: Nano) -> None:
    made = nano_run("llama3.1-nano")
    anneal = stages(made.rows)["anneal"]
    assert anneal[-1]["lr"] < 0.1 * anneal[0]["lr"]
    found = checkpoint.latest(made.output / "checkpoints", pytest.fail)
    assert found is not None
    assert found.state["average"] == made.summary["averaged_steps"] == len(anneal)
    raw, mean = (open_trained(made.output, average=average) for average in (False, True))
    assert not torch.equal(raw.decoder.embedding.weight, mean.decoder.embedding.weight)
    whole, _ = evaluate(mean.decoder, mean.tokenizer, [Text("the miller carries grain from field", {})], 256)
    assert whole.targets > 3


def test_rotary_base_by_ratio(nano_run: Nano) -> None:
    made = nano_run("qwen2-nano")
    assert {row["seq_len"] for row in made.rows} == {32, 256}
    assert (made.summary["model"]["context"], made.summary["model"]["rope_theta"]) == (256, 1e6)


def test_mix_schedule(nano_run: Nano) -> None:
    """One mix up to 45,000 targets, another from there on, each to within the last documents."""
    names = ("general", "math", "code", "multilingual")
    found, done = np.zeros((2, len(names))), 0
    for window in planned(nano_run("llama3.1-nano"), "llama3.1-nano")["core"]:
        found[int(done >= 45_000)] += [window.counts.sources[name].targets for name in names]
        done += window.counts.targets
        assert window.counts.dropped == 0
    shares = found / found.sum(1, keepdims=True)
    assert shares[0] == pytest.approx([0.50, 0.25, 0.17, 0.08], abs=0.01)
    assert shares[1] == pytest.approx([0.47, 0.27, 0.17, 0.09], abs=0.01)


@pytest.mark.parametrize("name", PRETRAINED)
def test_held_out_documents_are_in_no_row(nano_run: Nano, name: str) -> None:
    made = nano_run(name)
    library, folders = opened(made)
    seen: set[tuple[int, int]] = set()
    for window in itertools.chain.from_iterable(planned(made, name).values()):
        columns = (window.rows[column].combine_chunks().flatten().to_pylist() for column in ("segment", "start"))
        seen |= set(zip(*columns, strict=True))
    web = folders["general" if name == "llama3.1-nano" else "web"]
    segments, held = library.folders[web], 0
    for i in range(len(segments.manifest.segments)):
        is_held = is_held_out(segments.columns(i, ["id_hash"])["id_hash"].to_numpy(), recipe(name).held_out)
        for held_out, (start, stop) in zip(is_held, pairwise(segments.starts(i).tolist()), strict=True):
            drawn = any((library.number(web, i), at) in seen for at in range(start, stop))
            assert drawn is not bool(held_out)  # and every other document is in some
            held += int(held_out)
    assert 3 <= held <= 30


def opened(made: Made) -> tuple[Library, dict[str, int]]:
    """The segments that a run read, and which source reads which folder."""
    keys = next(iter(json.loads((made.output / "run.json").read_bytes())["segments"].values()))
    distinct = list(dict.fromkeys(keys.values()))
    library = Library([Segments.open(str(made.segments / key)) for key in distinct])
    return library, {source: distinct.index(key) for source, key in keys.items()}


def planned(made: Made, name: str) -> dict[str, list[Window]]:
    """The windows of every stage, as the run left them."""
    one, (library, folders) = recipe(name), opened(made)
    found: dict[str, list[Window]] = {}
    for stage in one.stages:
        store = made.output / "plan" / stage.name
        plan = Plan(stage, one.sources, one.seed, one.held_out, library, folders, store)
        windows = [plan.window(0)]
        while not windows[-1].last:
            windows.append(plan.window(len(windows)))
        found[stage.name] = windows
    return found


def stages(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of metrics.jsonl by stage, in their order."""
    return {name: list(found) for name, found in groupby(rows, key=lambda row: row["stage"])}
