"""Whole runs: what they leave, stopped and gone on with, whose output it is, and what they refuse."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.training import ModelSpec, SourceSpec, TokenizerSpec, TrainingSpec
from storage.errors import Locked
from storage.lock import Lock
from tests.trainer import nano
from tests.trainer.nano import Made, Watch, changed, losses, spec
from trainer.errors import ForeignError, IntegrityError, TrainerError, TrainingFailedError
from trainer.evaluate.held_out import HeldOut, held_out_documents
from trainer.model.decoder import Decoder
from trainer.model.room import Room
from trainer.segments.read import Segments
from trainer.tokenizer import bpe
from trainer.train import checkpoint
from trainer.train.start import fitted
from trainer.trained import Stored, open_trained, stored

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Made:
    """The finished run, to be changed."""
    shutil.copytree(tiny.output, tmp_path / "out")
    return Made(tmp_path / "out", tiny.data, tiny.segments)


@pytest.fixture
def fresh(tiny: Made, tmp_path: Path) -> Made:
    """The same data and an output that is not there yet."""
    return Made(tmp_path / "out", tiny.data, tiny.segments)


def begun(made: Made, steps: int, one: TrainingSpec | None = None, **options: Any) -> list[dict[str, Any]]:
    """Trains up to a step, two at least; in the last one a signal has come."""
    watch = Watch(lambda row: signal.raise_signal(signal.SIGTERM) if row.step == steps - 1 else None)
    assert made.go(one or spec(), watch, **options) is False
    assert len(made.rows) == steps
    return made.rows


def test_what_a_run_leaves(tiny: Made) -> None:
    rows, summary = tiny.rows, tiny.summary
    names = {path.name for path in tiny.output.iterdir()}
    assert names == {
        "run.json", "tokenizer", "plan", "checkpoints", "metrics.jsonl", "timing.jsonl", "events", "summary.json",
        "report.html", "_SUCCESS",
    }  # fmt: skip
    assert {tuple(row) for row in rows} == {("step", "stage", "tokens", "seq_len", "lr", "loss", "started")}
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["started"] for row in rows} == {1}
    assert list(dict.fromkeys((row["stage"], row["seq_len"]) for row in rows)) == [
        ("first", 16),
        ("first", 24),
        ("second", 32),
    ]
    assert rows[-1]["tokens"] == summary["targets"] >= 4500
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    assert summary["steps"] == len(rows)
    assert set(summary["held_out"]) == {"first", "second"}
    assert summary["held_out"]["second"]["length"] == 32
    assert set(summary["gates"]) == {"second"}
    assert summary["gates"]["second"]["passed"] is True
    assert (summary["model"]["context"], summary["model"]["rope_theta"]) == (32, 20_000.0)
    told = json.loads((tiny.output / "run.json").read_bytes())
    assert (told["name"], told["begun"]) == ("tiny", True)
    assert sorted(told["decisive"]) == ["recipe", "start", "tokenizer", "tokenizer_config"]
    assert [sorted(keys) for keys in told["segments"].values()] == [["web"], ["web"]]
    assert told["changes"] == []


def test_the_last_checkpoint_holds_the_average(tiny: Made) -> None:
    found = checkpoint.latest(tiny.output / "checkpoints", pytest.fail)
    assert found is not None
    assert found.step == len(tiny.rows)
    assert found.state["average"] == sum(row["stage"] == "second" for row in tiny.rows)
    raw, mean = (open_trained(tiny.output, average=average).decoder.state_dict() for average in (False, True))
    assert raw.keys() == mean.keys() == found.read("average").keys()
    assert all((raw[name] != mean[name]).any() for name in raw)


def test_held_out_loss_is_of_the_average(tiny: Made) -> None:
    """Held-out losses in the summary are those of the weights that `eval` takes."""
    keys = json.loads((tiny.output / "run.json").read_bytes())["segments"]["second"]
    folder = tiny.segments / keys["web"]
    trained = open_trained(tiny.output)
    held = HeldOut(held_out_documents("web", SourceSpec(), Segments.open(str(folder)), 0.1), trained.tokenizer)
    assert 10 < len(held.documents) < 40
    told = tiny.summary["held_out"]["second"]
    assert held.loss(trained.decoder, 32).loss == pytest.approx(told["loss"], rel=1e-6)


def test_a_finished_run_is_found_finished(copy: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read again to see it; what is missing of its result is made again."""
    written, before, watch = times(copy), copy.summary, Watch()
    with monkeypatch.context() as patched:
        for what in ("trainer.train.prepare.checkpoint.latest", "trainer.train.run.Decoder"):
            patched.setattr(what, pytest.fail)
        assert copy.go(spec(), watch) is True
    assert times(copy) == written
    for name in ("report.html", "summary.json", "_SUCCESS"):
        (copy.output / name).unlink()
        assert copy.go(spec(), watch) is True
        assert (copy.output / name).exists()
    assert (copy.summary, watch.rows) == (before, [])


def times(made: Made) -> dict[Path, int]:
    """When a run's files were written."""
    return {path: path.stat().st_mtime_ns for path in made.output.rglob("*") if path.name != "lock"}


def test_weights_are_drawn_and_read_once(tiny: Made, fresh: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first rank of a run that begins; where it goes on, and on other ranks, there is only room for them."""
    drawn: list[torch.Tensor] = []
    read: list[Path] = []
    draw, decoder = Decoder.initialise, Stored.decoder

    def drawing(self: Decoder, generator: torch.Generator) -> None:
        drawn.extend(weight for weight in self.parameters() if not weight.is_meta)
        draw(self, generator)

    def reading(self: Stored, average: bool, device: torch.device) -> Decoder:
        read.append(self.path)
        return decoder(self, average, device)

    monkeypatch.setattr(Decoder, "initialise", drawing)
    monkeypatch.setattr(Stored, "decoder", reading)
    begun(fresh, 2)
    assert (len(drawn) > 0, read) == (True, [])
    drawn.clear()
    begun(fresh, 4)
    assert (drawn, read) == ([], [])
    other = Made(fresh.output.with_name("other"), fresh.data, fresh.segments)
    begun(other, 2, init=str(tiny.output))
    assert (drawn, len(read)) == ([], 1)
    begun(other, 4, init=str(tiny.output))
    assert (drawn, len(read)) == ([], 1)


def test_a_checkpoint_before_a_stop_alone(fresh: Made) -> None:
    begun(fresh, 7, spec(checkpoint_every=0))
    assert [path.name for path in (fresh.output / "checkpoints").iterdir()] == ["step-000007"]


def test_killed_and_gone_on_with(tiny: Made, fresh: Made) -> None:
    """At any step: the rows are those of an unbroken run, and no more than a checkpoint's steps are done twice."""
    last = len(tiny.rows)
    steps = sorted(random.Random(5).sample(range(2, last), 3))
    arguments = [str(part) for part in (fresh.output, fresh.data, fresh.segments, *steps)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.trainer.train.kills_script", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in fresh.rows] == list(range(1, steps[-1] + 1))
    watch = Watch()
    assert fresh.go(spec(), watch) is True
    assert losses(fresh.rows) == losses(tiny.rows)
    started = sorted({row["started"] for row in fresh.rows})
    assert started[0] == 1
    assert watch.rows[0].step == started[-1] > 1
    assert steps[-1] - 4 <= started[-1] <= steps[-1] + 1
    assert [row["started"] for row in fresh.rows] == sorted(row["started"] for row in fresh.rows)


def test_stopped_by_a_signal(tiny: Made, fresh: Made) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert [row["step"] for row in begun(fresh, 7)] == list(range(1, 8))
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (fresh.output / "_SUCCESS").exists()
    assert fresh.go(spec()) is True
    assert losses(fresh.rows) == losses(tiny.rows)
    assert {row["started"] for row in fresh.rows} == {1, 8}


def test_other_ranks_go_on(tiny: Made, fresh: Made) -> None:
    """One process, then two: the same rows of data, losses to float32's last bits."""
    begun(fresh, 8)
    arguments = [str(part) for part in (fresh.output, fresh.data, fresh.segments)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "tests.trainer.train.go_script", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = losses(tiny.rows), losses(fresh.rows)
    assert [row[:2] for row in two] == [row[:2] for row in one]
    assert [row[2] for row in two] == pytest.approx([row[2] for row in one], rel=1e-5)
    assert {row["started"] for row in fresh.rows} == {1, 9}
    assert (fresh.output / "_SUCCESS").exists()


def test_fresh_begins_anew(copy: Made) -> None:
    other = spec(seed=3)
    (copy.output / "mine.txt").write_text("mine")
    assert copy.go(other, fresh=True) is True
    assert {row["started"] for row in copy.rows} == {1}
    assert json.loads((copy.output / "run.json").read_bytes())["decisive"]["recipe"]["seed"] == 3
    assert (copy.output / "mine.txt").read_text() == "mine"


OTHERS: dict[str, tuple[Callable[[], TrainingSpec], str]] = {
    "seed": (lambda: spec(seed=4), r"recipe\.seed = 0, this one has 4"),
    "tokens": (lambda: changed(spec(), 1, tokens=1600), r"recipe\.stages\.1\.tokens = 1500, this one has 1600"),
    "model": (
        lambda: spec(model={**spec().model_dump(mode="json")["model"], "layers": 2}),
        r"recipe\.model\.layers = 1, this one has 2",
    ),
}


@pytest.mark.parametrize("anneal", [False, True])
def test_fresh_deletes_nothing_that_it_starts_from(copy: Made, anneal: bool) -> None:
    standing = sorted(path for path in copy.output.rglob("*"))
    for init in (copy.output, next(copy.output.glob("checkpoints/*"))):
        with pytest.raises(TrainerError, match=r"--fresh would delete .* which the run is to start from"):
            copy.go(spec(), init=str(init), anneal=anneal, fresh=True)
    assert sorted(path for path in copy.output.rglob("*")) == standing


def test_a_finished_run_without_checkpoints_is_not_trained_again(copy: Made) -> None:
    shutil.rmtree(copy.output / "checkpoints")
    assert copy.go(spec()) is True  # its result stands
    (copy.output / "report.html").unlink()
    rows = copy.rows
    with pytest.raises(IntegrityError, match=r"has lost report\.html, and has no checkpoint to make that again from"):
        copy.go(spec())
    assert copy.rows == rows


@pytest.mark.parametrize("case", OTHERS)
def test_another_recipe_is_refused(tiny: Made, case: str) -> None:
    make, words = OTHERS[case]
    before = times(tiny)
    with pytest.raises(ForeignError, match=words):
        tiny.go(make())
    assert times(tiny) == before


def test_other_data_is_refused(tiny: Made, tmp_path: Path) -> None:
    """A finished run has no use for it."""
    shutil.copytree(tiny.segments, tmp_path / "segments")
    other = Made(tiny.output, nano.corpus(tmp_path / "data", 60, first=1000), tmp_path / "segments")
    with pytest.raises(ForeignError, match=r"holds a run with segments\.second\.web = '[0-9a-f]{32}', this one has '"):
        other.go(spec())


def test_another_tokenizer_is_refused(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(bpe.train(["other words"], TokenizerSpec(vocab_size=300)))
    with pytest.raises(ForeignError, match=r"holds a run with tokenizer = '[0-9a-f]{64}', this one has '"):
        tiny.go(spec(), tokenizer=tmp_path / "tokenizer.json")


def test_what_fits_a_machine_may_change(copy: Made) -> None:
    """Micro-batches, checkpoints kept, a gate: none of them makes another run."""
    other = changed(spec(micro_batch_size=3, keep_checkpoints=7), 1, gate={"recovered": 9, "on_fail": "continue"})
    assert copy.go(other) is True


def test_what_was_never_begun_may_be_replaced(fresh: Made) -> None:
    """A recipe that can't be had leaves nothing behind that a mended one would stumble over."""
    with pytest.raises(TrainerError, match=r"wants 3,000 targets of source 'web'"):
        fresh.go(changed(spec(), 0, max_epochs=0.01))
    assert not (fresh.output / "metrics.jsonl").exists()
    other = spec(tokenizer={"vocab_size": 330, "texts": 60})
    begun(fresh, 2, other)
    assert open_trained(fresh.output).tokenizer.largest_id == 329


def test_a_folder_of_another_command_is_left_alone(tmp_path: Path, fresh: Made) -> None:
    fresh.output.mkdir()
    for name, content in (("run.json", '{"pipeline": "fineweb"}'), ("report.html", "report"), ("_SUCCESS", "")):
        (fresh.output / name).write_text(content)
    for options in ({}, {"fresh": True}):
        with pytest.raises(ForeignError, match=r"no training wrote '.*run\.json'"):
            fresh.go(spec(), **options)
    (fresh.output / "run.json").unlink()
    for options in ({}, {"fresh": True}):
        with pytest.raises(ForeignError, match=r"holds 'report.html', which no training left"):
            fresh.go(spec(), **options)
    assert (fresh.output / "report.html").read_text() == "report"


@pytest.mark.parametrize("lost", [slice(0, None), slice(3, None), slice(1, 2)])
def test_lost_metrics_are_told_and_the_run_ends(copy: Made, lost: slice) -> None:
    """Their rows are gone for good, those behind them and the weights are not; the report draws what there is."""
    (copy.output / "_SUCCESS").unlink()
    metrics, rows = copy.output / "metrics.jsonl", copy.rows
    lines = metrics.read_bytes().splitlines(keepends=True)
    lines[lost] = [b"garbage\n"]
    metrics.write_bytes(b"".join(lines))
    watch, step = Watch(), len(rows)
    del rows[lost]
    assert copy.go(spec(), watch)
    assert f"metrics.jsonl has good rows of {len(rows)} of the {step} steps behind which" in "".join(watch.notes)
    assert copy.rows == rows
    assert (copy.output / "_SUCCESS").exists()
    assert (copy.output / "report.html").read_bytes()


REFUSED: dict[str, tuple[Callable[[], TrainingSpec], str]] = {
    "vocabulary": (
        lambda: spec(model={**spec().model_dump(mode="json")["model"], "vocab_size": 300}),
        r"model.vocab_size is 300, the tokenizer's largest id 319; raise it to 320",
    ),
    "no_model": (lambda: spec(model=None), r"no model of its own: say which to start from with --init"),
    "nothing_held_out": (lambda: spec(held_out=0), r"gate of stage 'second' needs held-out text; raise held_out"),
    "no_room_for_needles": (
        lambda: changed(spec(), 1, seq_len=8, gate={"needle": 0.5}),
        r"stage 'second' looks for needles in rows of 8 positions, the shortest takes \d+",
    ),
    "positions": (
        lambda: spec(model={"family": "gpt2", "layers": 1, "dim": 16, "heads": 2, "context": 16}),
        r"stage 'first' has rows of 24 positions, a gpt2 model of context 16 has a table",
    ),
    "no_source": (
        lambda: spec(sources={"web": {"data": "other"}}),
        r"source 'web' of the recipe has no data; give --data other=PATH \(given: one without a name\)",
    ),
    "condition": (lambda: spec(sources={"web": {"where": "colour = 'red'"}}), r"'web'.*colour"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_the_first_step(fresh: Made, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(TrainerError, match=words):
        fresh.go(make())
    assert not (fresh.output / "metrics.jsonl").exists()
    if case in ("vocabulary", "no_model", "positions", "no_source"):  # what the data does not decide
        assert not fresh.output.exists()
    assert not (fresh.output / "checkpoints").exists()


def test_memory_is_asked_before_the_first_step(fresh: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _: Room(2**17, 2**17, "a small host"))
    with pytest.raises(TrainerError, match=r"a small host has .* for it; set micro_batch_size lower"):
        fresh.go(spec())
    assert not (fresh.output / "metrics.jsonl").exists()


def test_missing_data_leaves_no_folder(fresh: Made, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"no manifest\.json in"):
        Made(fresh.output, tmp_path / "nowhere", fresh.segments).go(spec())
    assert not fresh.output.exists()


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_damaged_shard(fresh: Made, tmp_path: Path, harm: str) -> None:
    shutil.copytree(fresh.data, tmp_path / "data")
    shard = max((tmp_path / "data/shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.unlink() if harm == "missing" else shard.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"part-00001-of-00002\.parquet' is not the file that"):
        Made(fresh.output, tmp_path / "data", tmp_path / "segments").go(spec())


def test_a_gate_that_stops(fresh: Made) -> None:
    gate = {"recovered": 0.1}
    with pytest.raises(TrainingFailedError, match=r"behind stage 'first' stays shut: held-out loss .* is above 0\.1 x"):
        fresh.go(changed(spec(), 0, gate=gate))
    assert {row["stage"] for row in fresh.rows} == {"first"}
    steps = len(fresh.rows)
    assert fresh.go(changed(spec(), 0, gate={**gate, "on_fail": "continue"})) is True
    assert [row["started"] for row in fresh.rows] == [1] * steps + [steps + 1] * (len(fresh.rows) - steps)
    gates = fresh.summary["gates"]
    assert (gates["first"]["passed"], gates["second"]["passed"]) == (False, True)
    assert gates["first"]["loss"] > 0.1 * gates["first"]["loss_before"]


def test_from_a_runs_weights(tiny: Made, fresh: Made) -> None:
    """The tokenizer comes with them; the average is where it begins."""
    one = spec(model=None, tokenizer={"vocab_size": 999}, stages=[spec().stages[1].model_dump(by_alias=True)])
    watch = Watch()
    assert fresh.go(one, watch, init=str(tiny.output)) is True
    assert open_trained(fresh.output).tokenizer.sha256 == open_trained(tiny.output).tokenizer.sha256
    assert watch.rows[0].loss == pytest.approx(tiny.summary["held_out"]["second"]["loss"], rel=0.2)
    told = json.loads((fresh.output / "run.json").read_bytes())["decisive"]["start"]
    assert told.startswith(f"checkpoint of step {len(tiny.rows)}, sha256 ")
    assert fresh.summary["model"]["rope_theta"] == 40_000.0
    older = min((tiny.output / "checkpoints").iterdir())
    with pytest.raises(ForeignError, match="holds a run with start = 'checkpoint of step"):
        fresh.go(one, init=str(older))


def test_annealing_takes_the_optimizer_too(tiny: Made, fresh: Made) -> None:
    raw = spec().model_dump(mode="json", by_alias=True)
    one = spec(stages=[raw["stages"][0], {**raw["stages"][1], "name": "anneal", "gate": None}])
    watch = Watch(lambda row: signal.raise_signal(signal.SIGTERM))
    assert fresh.go(one, watch, init=str(tiny.output), anneal=True) is False
    assert [row.stage for row in watch.rows] == ["anneal"] * 2
    held, before = (checkpoint.latest(each.output / "checkpoints", pytest.fail) for each in (fresh, tiny))
    assert held is not None
    assert before is not None
    (name, *_) = (name for name in held.read("optimizer") if name.startswith("step/"))
    assert held.read("optimizer")[name] == before.read("optimizer")[name] + 2
    with pytest.raises(TrainerError, match=r"no stage is named 'anneal'; the recipe has \['first', 'second'\]"):
        fresh.go(spec(), init=str(tiny.output), anneal=True)


SHAPES = {"layers": 2, "dim": 32, "heads": 4, "kv_heads": 1, "ffn_dim": 64, "vocab_size": 640, "tied": False}


@pytest.mark.parametrize("key", [*SHAPES, "family"])
def test_weights_of_another_shape(tiny: Made, key: str) -> None:
    start = stored(tiny.output)
    model = {"family": "llama", "layers": 1, "dim": 16, "heads": 2, "ffn_dim": 32, "context": 8}
    assert fitted(spec(model=model), start, anneal=False).model == start.spec
    other = ModelSpec.model_validate({**model, key: SHAPES.get(key, "qwen2")})
    with pytest.raises(TrainerError, match=rf"model\.{key} is .* in the recipe, the model to start from has"):
        fitted(spec().model_copy(update={"model": other}), start, anneal=False)


def test_weights_with_another_tokenizer(tiny: Made, fresh: Made, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(bpe.train(["other words"], TokenizerSpec(vocab_size=300)))
    with pytest.raises(TrainerError, match=r"the weights of .* were trained with [0-9a-f]{16}…; leave --tokenizer out"):
        fresh.go(spec(), init=str(tiny.output), tokenizer=tmp_path / "tokenizer.json")
    assert not fresh.output.exists()


def test_a_flipped_byte_is_found_before_it_is_learnt(tiny: Made, fresh: Made, tmp_path: Path) -> None:
    shutil.copytree(tiny.segments, tmp_path / "segments")
    for tokens in (tmp_path / "segments").glob("*/*tokens*"):
        content = bytearray(tokens.read_bytes())
        content[len(content) // 2] ^= 1
        tokens.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"tokens"):
        Made(fresh.output, fresh.data, tmp_path / "segments").go(spec())
    assert not (fresh.output / "checkpoints").exists()


def test_two_at_once(copy: Made) -> None:
    with Lock(str(copy.output / "lock")), pytest.raises(Locked, match="lock"):
        copy.go(spec())
