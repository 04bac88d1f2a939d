import json
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.training import OptimizerSpec
from tests.trainer.train.toys import LR, ONE, ListSource, Toy, loss
from trainer.train.loop import Loop, Stage
from trainer.train.metrics import JsonLines
from trainer.train.stop import Stop
from trainer.train.timing import Clock
from trainer.train.training import Training


def timed(folder: Path, source: ListSource, **options: Any) -> list[dict[str, Any]]:
    """timing.jsonl of a stage."""
    training = Training(Toy(), OptimizerSpec())
    training.begin_stage(0, reset=False, average=False, reference=False)
    with JsonLines(folder / "timing.jsonl", 0) as lines:
        clock = Clock(ONE, lines, **options)
        loop = Loop(
            training=training, ranks=ONE, clock=clock, metrics=None, writer=None, stop=Stop(), checkpoint_every=10**9
        )
        assert loop.train(
            Stage(name="s", source=source, loss=lambda batch: loss(training.model, batch), lr=LR, micro_rows=2)
        )
    return [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]


class Slow(ListSource):
    """Lets itself be waited for at one step."""

    def steps(self, *arguments: Any) -> Any:
        for step in super().steps(*arguments):
            if step.index == 20:
                time.sleep(0.2)
            yield step


def test_rows(tmp_path: Path) -> None:
    source = Slow(steps=40)
    found = timed(
        tmp_path, source, flops_per_token=lambda seq_len: 10.0 * seq_len, peak_flops=1e6, queue_depth=lambda: 3
    )
    assert [(row["step"], row["steps"]) for row in found] == [(16, 16), (32, 16), (40, 8)]
    for row in found:
        tokens = row["steps"] * 6 * 8  # rows x positions, none of them padding
        assert row["tokens_per_second"] == pytest.approx(tokens / row["seconds"])
        assert row["mfu"] == pytest.approx(tokens * 80 / row["seconds"] / 1e6)
        assert row["queue_depth"] == 3
        assert row["data_wait_max"] >= 0
    assert [row["data_wait_max"] >= 0.2 for row in found] == [False, True, False]
    assert found[1]["data_wait_p99"] >= 0.2  # of 32 steps
    assert found[1]["control_ratio"] > 0.2  # most of these steps' time was waited
    assert found[0]["control_ratio"] is None  # the first step of a length has none to compare with


def test_what_is_unknown_is_null(tmp_path: Path) -> None:
    (row,) = timed(tmp_path, ListSource(steps=1))
    assert (row["mfu"], row["queue_depth"], row["control_ratio"]) == (None, None, None)


def test_time_between_stages_does_not_count() -> None:
    clock = Clock(ONE, None)
    time.sleep(0.3)
    clock.restart()
    list(clock.waited([1]))
    clock.stepped(1, 8, 100)
    clock.write(1)
    assert clock.last["seconds"] < 0.3
