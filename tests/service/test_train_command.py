"""`gristmill train`: training, stopping, plans and estimates of it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.exits import Exit
from service.watch import Watch
from tests.service.obeyed import Gristmill
from tests.trainer import nano
from tests.trainer.nano import Made
from trainer.trained import open_trained


def test_train(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = gristmill("train", mine, "--data", tiny.data, "--output", output, "--segments", tiny.segments)
    assert done.code == Exit.OK
    assert done.out == f"open    file://{output}/report.html\n"
    assert "first: step 1 · loss " in done.err
    assert "note: gate of second: open; all that is asked holds\n" in done.err
    rows = nano.lines(output / "metrics.jsonl")
    assert nano.losses(rows) == nano.losses(tiny.rows)


def test_stopped_and_gone_on_with(
    gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", mine, "--data", tiny.data, "--output", tmp_path / "out", "--segments", tiny.segments)
    told = Watch.row

    def row(self: Watch, *args: Any) -> None:
        told(self, *args)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "row", row)
        done = gristmill(*command)
    assert (done.code, done.out) == (Exit.INTERRUPTED, "")
    assert done.err.endswith("note: stopped; the checkpoint stands, the same command goes on\n")
    assert gristmill(*command).code == Exit.OK
    assert nano.losses(nano.lines(tmp_path / "out/metrics.jsonl")) == nano.losses(tiny.rows)


def test_dry_run(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path) -> None:
    done = gristmill("train", mine, "--data", tiny.data, "--dry-run", "--segments", tmp_path / "s")
    assert done.code == Exit.OK
    head, first, second, _, _, *epochs = (line.split() for line in done.out.splitlines())
    assert head[:3] == ["stage", "steps", "targets"]
    assert [first[0], second[0]] == ["first", "second"]
    by_stage = [row["stage"] for row in tiny.rows]
    assert [int(first[1]), int(second[1])] == [by_stage.count("first"), by_stage.count("second")]
    assert [line[:2] for line in epochs] == [["first:", "web"], ["second:", "web"]]
    assert all(0 < float(line[2]) < 1 for line in epochs)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_an_estimate_from_a_model(gristmill: Gristmill, tiny: Made) -> None:
    """Its shape is the one that is estimated, and must be the recipe's where that has one."""
    done = gristmill("train", "sft-dpo-nano", "--init", tiny.output, "--estimate")
    counts = open_trained(tiny.output).decoder.shape.parameters
    assert done.code == Exit.OK
    assert done.out.splitlines()[0].split()[:2] == ["parameters", f"{counts.total:,}:"]
    done = gristmill("train", "gpt2-nano", "--init", tiny.output, "--estimate")
    assert done.code == Exit.USAGE
    assert "model.family is 'gpt2' in the recipe, the model to start from has 'llama'" in done.err


def test_dry_run_of_preferences(gristmill: Gristmill, nano_run: Callable[[str], Made], tiny: Made) -> None:
    """From a model, whose tokenizer counts."""
    init = nano_run("llama3.1-nano").output
    done = gristmill("train", "sft-dpo-nano", "--init", init, "--dry-run", "--segments", tiny.segments)
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[0] for row in rows[:3]] == ["stage", "sft", "dpo"]
    assert rows[1][3] == "2,000"  # two epochs over 1,000 conversations
    assert (rows[2][1], *rows[2][3:6]) == ("19", "600", "0", "0")  # 300 pairs, 16 a step
    assert int(rows[2][2].replace(",", "")) > 600
    assert rows[-2:] == [["sft:", "chats", "2"], ["dpo:", "pairs", "1"]]
