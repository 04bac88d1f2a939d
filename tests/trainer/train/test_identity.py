"""Runs gone on with by other data, learning rates and factors: what enters when, what is recorded, what is refused."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from schemas.training import TrainingSpec
from tests.trainer import nano
from tests.trainer.nano import Made, Watch, changed, losses, spec
from trainer.errors import ForeignError, IntegrityError, TrainingFailedError
from trainer.segments.read import Segments
from trainer.train.metrics import Row

OLD, NEW = 200, 800
"""Documents of `tiny`, and those that came since."""


@pytest.fixture
def fresh(tiny: Made, tmp_path: Path) -> Made:
    """The data of `tiny`, segments that a test may remove, and an output that is not there yet."""
    shutil.copytree(tiny.segments, tmp_path / "segments")
    return Made(tmp_path / "out", tiny.data, tmp_path / "segments")


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same documents and four times as many more."""
    return nano.corpus(tmp_path_factory.mktemp("grown") / "data", OLD + NEW)


def stopped(made: Made, step: int, one: TrainingSpec | None = None) -> None:
    """Trains up to a step, in which a signal has come."""

    def act(row: Row) -> None:
        if row.step == step - 1:
            signal.raise_signal(signal.SIGTERM)

    assert made.go(one or spec(), Watch(act)) is False
    assert made.rows[-1]["step"] == step


def told(made: Made) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made.output / "run.json").read_bytes())
    return found


def stage(made: Made, name: str) -> list[tuple[int, int, float]]:
    return losses([row for row in made.rows if row["stage"] == name])


def new_documents(made: Made, name: str) -> set[int]:
    """Numbers of the new documents that a stage's rows hold a piece of."""
    segments = Segments.open(str(made.segments / told(made)["segments"][name]["web"]))
    numbers = {xxhash.xxh3_64_intdigest(f"<urn:{number}>".encode()): number for number in range(OLD, OLD + NEW)}
    found = set()
    for path in (made.output / "plan" / name).glob("*.rows.*.arrow"):
        for row in pa.ipc.open_file(path).read_all().to_pylist():
            for segment, start in zip(row["segment"], row["start"], strict=True):
                document = int(np.searchsorted(segments.starts(segment), start, side="right")) - 1
                found.add(numbers.get(segments.columns(segment, ["id_hash"])["id_hash"][document].as_py()))
    return {number for number in found if number is not None}


def test_data_that_grew_behind_a_stage(tiny: Made, fresh: Made, grown: Path) -> None:
    one = changed(spec(), 0, gate={"recovered": 0.1})
    with pytest.raises(TrainingFailedError, match="behind stage 'first' stays shut"):
        fresh.go(one)
    before, made, watch = told(fresh), Made(fresh.output, grown, fresh.segments), Watch()
    assert made.go(changed(spec(), 0, gate=None), watch) is True
    assert watch.notes[0] == "the data is not what it was: what is given now counts from stage 'second' on"
    assert stage(made, "first") == stage(tiny, "first")
    assert [row[:1] for row in stage(made, "second")] == [row[:1] for row in stage(tiny, "second")]
    keys = told(made)["segments"]
    assert keys["first"] == before["segments"]["first"] != keys["second"]
    assert new_documents(made, "first") == set()
    assert len(new_documents(made, "second")) > 2


def test_data_that_grew_within_a_stage(tiny: Made, fresh: Made, grown: Path) -> None:
    """The stage ends as it began, stopped once more on its way; the next takes the new data."""
    stopped(fresh, 5)
    made = Made(fresh.output, grown, fresh.segments)
    stopped(made, 8)
    watch = Watch()
    assert made.go(spec(), watch) is True
    assert [words for words in watch.notes if "data" in words] == []  # it was told when it changed
    assert stage(made, "first") == stage(tiny, "first")
    assert new_documents(made, "first") == set()
    assert len(new_documents(made, "second")) > 2
    assert {row["started"] for row in made.rows} == {1, 6, 9}


def test_the_old_segments_are_gone(tiny: Made, fresh: Made, grown: Path) -> None:
    stopped(fresh, 5)
    shutil.rmtree(fresh.segments)
    words = (
        r"stage 'first' began with segments '[0-9a-f]{32}' of source 'web', the data given now is another, and "
        r"'.*/segments/[0-9a-f]{32}' is gone; give the data that it began with until the stage is over"
    )
    before = told(fresh), fresh.rows
    with pytest.raises(ForeignError, match=words):
        Made(fresh.output, grown, fresh.segments).go(spec())
    assert (told(fresh), fresh.rows) == before
    assert fresh.go(spec()) is True
    assert losses(fresh.rows) == losses(tiny.rows)


def test_the_last_stage_keeps_its_data(tiny: Made, fresh: Made, grown: Path) -> None:
    stopped(fresh, len(tiny.rows) - 2)
    watch = Watch()
    assert Made(fresh.output, grown, fresh.segments).go(spec(), watch) is True
    assert watch.notes[0] == "the last stage goes on with the data that it began with; what is given now is another"
    assert losses(fresh.rows) == losses(tiny.rows)
    assert fresh.summary["held_out"] == tiny.summary["held_out"]


def test_data_that_grew_before_the_first_checkpoint(fresh: Made, grown: Path) -> None:
    """Nothing was begun: windows that were compiled ahead are made again."""

    def act(row: Row) -> None:
        raise InterruptedError("now")

    with pytest.raises(InterruptedError, match="now"):
        fresh.go(spec(), Watch(act))
    assert list((fresh.output / "plan/first").iterdir())
    made, watch = Made(fresh.output, grown, fresh.segments), Watch()
    assert made.go(spec(), watch) is True
    assert watch.notes[0] == "the data is not what it was: what is given now counts from stage 'first' on"
    assert len(new_documents(made, "first")) > 2
    assert {row["started"] for row in made.rows} == {1}


def test_a_lower_learning_rate(tiny: Made, fresh: Made) -> None:
    stopped(fresh, 5)
    lower = {"shape": "linear", "from": 0.005, "to": 0.001}
    one = changed(spec(optimizer={"clip": 0.5, "betas": [0.9, 0.99]}, guards={"max_skips": 5}), 0, lr=lower)
    watch = Watch()
    assert fresh.go(one, watch) is True
    assert watch.notes[:4] == [
        "recipe.optimizer.betas.1 was 0.95, is 0.99 from step 6 on",
        "recipe.optimizer.clip was 1.0, is 0.5 from step 6 on",
        "recipe.guards.max_skips was 3, is 5 from step 6 on",
        "recipe.stages.0.lr.from was 0.01, is 0.005 from step 6 on",
    ]
    run = told(fresh)
    assert [(change["step"], change["what"]) for change in run["changes"]] == [
        (6, "recipe.optimizer.betas.1"),
        (6, "recipe.optimizer.clip"),
        (6, "recipe.guards.max_skips"),
        (6, "recipe.stages.0.lr.from"),
    ]
    assert run["changes"][3] == {"step": 6, "what": "recipe.stages.0.lr.from", "before": 0.01, "now": 0.005}
    assert run["decisive"]["recipe"]["stages"][0]["lr"]["from"] == 0.005
    assert losses(fresh.rows)[:6] == losses(tiny.rows)[:6]  # the sixth is measured before it moves the weights
    assert fresh.rows[6]["loss"] != tiny.rows[6]["loss"]
    part = (0.01 - tiny.rows[5]["lr"]) / 0.009
    assert fresh.rows[5]["lr"] == pytest.approx(0.005 - 0.004 * part)


def test_a_rate_that_ruined_a_stage(tiny: Made, fresh: Made) -> None:
    """Lowered, the run goes on from the last good checkpoint, and nothing is left of the high one."""
    with pytest.raises(TrainingFailedError, match="stage 'second'"):
        fresh.go(changed(spec(), 1, lr={"from": 1e9}))
    first = len(stage(tiny, "first"))
    watch = Watch()
    assert fresh.go(spec(), watch) is True
    assert f"recipe.stages.1.lr.from was 1000000000.0, is 0.01 from step {first + 1} on" in watch.notes
    assert losses(fresh.rows) == losses(tiny.rows)


def test_a_change_whose_steps_are_done_again(fresh: Made) -> None:
    """Where the run falls back behind it, it counts from there on."""
    stopped(fresh, 8, spec(keep_checkpoints=9))
    one = spec(keep_checkpoints=9, optimizer={"weight_decay": 0.2})
    stopped(fresh, 11, one)
    assert [change["step"] for change in told(fresh)["changes"]] == [9]
    for path in (fresh.output / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) >= 8:
            shutil.rmtree(path)
    watch = Watch()
    assert fresh.go(one, watch) is True
    assert watch.notes[0].startswith("gate of second")
    (again,) = {row["started"] for row in fresh.rows} - {1}
    assert 1 < again < 8
    assert [(change["step"], change["now"]) for change in told(fresh)["changes"]] == [(again, 0.2)]


REFUSED: dict[str, tuple[Callable[[], TrainingSpec], str]] = {
    "model": (
        lambda: spec(model={**spec().model_dump(mode="json")["model"], "dim": 32}),
        r"recipe\.model\.dim = 16, this one has 32",
    ),
    "optimizer": (lambda: spec(optimizer={"name": "muon"}), r"recipe\.optimizer\.name = 'adamw', this one has 'muon'"),
    "length": (lambda: changed(spec(), 0, tokens=4000), r"recipe\.stages\.0\.tokens = 3000, this one has 4000"),
    "data_seed": (lambda: spec(data_seed=1), r"recipe\.data_seed = None, this one has 1"),
    "stages": (lambda: spec(stages=spec().model_dump(by_alias=True)["stages"][:1]), r"recipe\.stages = \["),
}


def test_what_makes_another_run_is_refused(fresh: Made) -> None:
    stopped(fresh, 3)
    before = {path: path.stat().st_mtime_ns for path in fresh.output.rglob("*") if path.name != "lock"}
    for make, words in REFUSED.values():
        with pytest.raises(ForeignError, match=words + r".*give another --output, or --fresh to start anew there"):
            fresh.go(make())
    assert {path: path.stat().st_mtime_ns for path in fresh.output.rglob("*") if path.name != "lock"} == before


@pytest.mark.parametrize("fresh_start", [False, True])
def test_a_damaged_run_json_is_told_from_anothers(tiny: Made, tmp_path: Path, fresh_start: bool) -> None:
    """A run's own may be restored; that of another command is left alone."""
    shutil.copytree(tiny.output, tmp_path / "out")
    made, path = Made(tmp_path / "out", tiny.data, tiny.segments), tmp_path / "out" / "run.json"
    whole = path.read_bytes()
    for damaged in (whole[:500], b""):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"run\.json' is no JSON: .* a damaged file of a run: put it back"):
            made.go(spec(), fresh=fresh_start)
        assert path.read_bytes() == damaged
    for other in (b"[]", b'{"decisive": {}}'):
        path.write_bytes(other)
        with pytest.raises(ForeignError, match=r"no training wrote '.*/run\.json': the folder is another command's"):
            made.go(spec(), fresh=fresh_start)
    path.write_bytes(whole)
    assert made.go(spec()) is True
    assert made.rows == tiny.rows


def test_a_finished_run_takes_no_other_rate(tiny: Made) -> None:
    with pytest.raises(ForeignError, match=r"recipe\.stages\.1\.lr\.from = 0\.01, this one has 0\.02"):
        tiny.go(changed(spec(), 1, lr={"shape": "linear", "from": 0.02, "to": 0.001}))
