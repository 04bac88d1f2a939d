import json
import time
from collections.abc import Iterator
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
            Stage(name="s", source=source, loss=lambda batch: loss(training.model, batch), lr=LR, micro_batch_size=2)
        )
    return [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]


class Slow(ListSource):
    """Lets itself be waited for at some steps: index -> seconds."""

    def __init__(self, steps: int, waits: dict[int, float]) -> None:
        super().__init__(steps=steps)
        self.waits = waits

    def steps(self, *arguments: Any) -> Any:
        for step in super().steps(*arguments):
            time.sleep(self.waits.get(step.index, 0.0))
            yield step


def test_rows(tmp_path: Path) -> None:
    source = Slow(40, {0: 0.6, 20: 0.2})
    found = timed(
        tmp_path, source, flops_per_token=lambda seq_len: 10.0 * seq_len, peak_flops=1e6, queue_depth=lambda: 3
    )
    assert [(row["step"], row["steps"]) for row in found] == [(16, 16), (32, 16), (40, 8)]
    for row in found:
        tokens = row["steps"] * 6 * 8  # rows x positions, none of them padding
        assert row["tokens_per_second"] == pytest.approx(tokens / row["seconds"])
        assert row["mfu"] == pytest.approx(tokens * 80 / row["seconds"] / 1e6)
        assert row["queue_depth"] == 3
        assert 0 <= row["data_wait_p99"] <= row["data_wait_max"]
        assert 0 <= row["control_ratio"] <= 1
    assert found[0]["data_fill"] >= 0.6
    assert [row["data_fill"] for row in found[1:]] == [None, None]
    assert [0.2 <= row["data_wait_max"] < 0.6 for row in found] == [False, True, True]  # of all steps but the first
    assert found[0]["data_wait_max"] < 0.6  # the fill is no wait, in the first row neither
    assert found[1]["control_ratio"] >= 0.2 / found[1]["seconds"]


def test_the_fill_is_no_time_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still but for the source."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(ONE, None)
    clock.restart()

    def source() -> Iterator[int]:
        for step, seconds in enumerate([7.0, 1.0, 0.0, 3.0]):
            now[0] += seconds
            yield step

    for step in clock.waited(source()):
        now[0] += 2.0
        clock.stepped(step, 8, 60)
    clock.write(4)
    assert clock.last == {
        "step": 4, "steps": 4, "seconds": 12.0, "tokens_per_second": 20.0, "mfu": None, "data_fill": 7.0,
        "data_wait_p99": 3.0, "data_wait_max": 3.0, "queue_depth": None, "control_ratio": 4 / 12,
    }  # fmt: skip


def test_percentile_and_largest_are_of_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's newest thousand; the next stage begins anew."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(ONE, None)
    clock.restart()

    def source(waits: list[float]) -> Iterator[None]:
        for seconds in waits:
            now[0] += seconds
            yield

    def told(waits: list[float]) -> tuple[float | None, float | None]:
        for step, _ in enumerate(clock.waited(source(waits))):
            now[0] += 1.0
            clock.stepped(step, 8, 60)
        clock.write(len(waits))
        return clock.last["data_wait_p99"], clock.last["data_wait_max"]

    assert told([9.0, 5.0, *[0.5] * 989, *[2.0] * 10]) == (2.0, 5.0)
    assert told([9.0, 5.0, *[0.5] * 990, *[2.0] * 10]) == (0.5, 2.0)
    assert told([9.0, 0.25]) == (0.25, 0.25)
    assert told([9.0]) == (None, None)
    assert clock.last["control_ratio"] is None


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
