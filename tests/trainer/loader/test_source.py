"""Steps of a plan: what is in them, in which order, however many ranks and threads, through stops and damage."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from schemas.segments import BLOCK_BYTES
from tests.trainer.loader.windows import HandPlan, Piece, expected, fields, library, plan, rows_of
from tests.trainer.sealed import write
from trainer.batch import Step
from trainer.errors import ForeignError, IntegrityError, TrainerError
from trainer.loader import PlanSource
from trainer.loader.assemble import BYTES_PER_POSITION
from trainer.loader.rows import Rows
from trainer.segments.library import Library
from trainer.segments.read import Segments


@pytest.fixture(autouse=True)
def no_threads_stay() -> Iterator[None]:
    """Whatever a test does, the loader's threads end."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    ours = {"loader", "loader: draw", "plan", "segment blocks"}
    while left := ours & {thread.name for thread in set(threading.enumerate()) - before}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert left == set()


def all_rows(made: HandPlan, library: Library) -> list[list[tuple[list[Any], ...]]]:
    """What the plan says, step by step."""
    return [[expected(made, library, row) for row in step] for window in made.windows for step in window]


def dealt(source: PlanSource, world: int, micro_batch_size: int) -> list[list[tuple[list[Any], ...]]]:
    """The ranks' rows of each step put together again, fillers behind the last row taken off."""
    together = []
    ranks = [source.steps(None, rank, world, micro_batch_size) for rank in range(world)]
    for steps in zip(*ranks, strict=True):
        assert len({len(step.batches) for step in steps}) == 1
        assert {tuple(batch.tokens.shape) for step in steps for batch in step.batches} == {
            (micro_batch_size, steps[0].seq_len)
        }
        by_rank = [list(rows_of(step)) for step in steps]
        mixed = [row for turn in zip(*by_rank, strict=True) for row in turn]
        assert all(sum(row[2]) == 0 and set(row[3]) == {-1} for row in mixed[steps[0].rows :])
        together.append(mixed[: steps[0].rows])
    return together


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("micro_batch_size", [1, 4, 11, 16])
def test_every_array_of_every_row(tmp_path: Path, micro_batch_size: int, dtype: Any) -> None:
    made, segments = plan(), library(tmp_path, dtype=dtype)
    steps = list(PlanSource(made, segments).steps(None, 0, 1, micro_batch_size))
    rows = all_rows(made, segments)
    nothing = expected(made, segments, None)
    for number, (step, wanted) in enumerate(zip(steps, rows, strict=True)):
        assert (step.index, step.seq_len, step.rows) == (number, 40, len(wanted))
        found = list(rows_of(step))
        assert found == wanted + [nothing] * (len(found) - len(wanted))
        assert len(found) < len(wanted) + micro_batch_size
    assert [step.targets for step in steps] == [sum(sum(d >= 0 for d in row[3]) for row in step) for step in rows]
    assert sum(step.targets for step in steps) == PlanSource(made, segments).total_targets


def test_types(tmp_path: Path) -> None:
    step = next(PlanSource(plan(), library(tmp_path)).steps(None, 0, 1, 4))
    kinds = [torch.int64, torch.int64, torch.float32, torch.int32, torch.int64]
    assert [field.dtype for field in fields(step.batches[0])] == kinds
    assert all(field.is_contiguous() for field in fields(step.batches[0]))
    assert all(field.is_pinned() == torch.cuda.is_available() for field in fields(step.batches[0]))


@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("threads", [1, 3, 8])
def test_any_number_of_ranks_and_threads(tmp_path: Path, world: int, threads: int) -> None:
    made, segments = plan(), library(tmp_path)
    assert dealt(PlanSource(made, segments, threads=threads), world, 2) == all_rows(made, segments)


def test_late_reads_change_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, segments = plan(), library(tmp_path)
    wanted, gather = all_rows(made, segments), Segments.gather
    rng = np.random.default_rng(0)

    def late(self: Segments, *arguments: Any) -> Any:
        time.sleep(rng.random() * 0.02)
        return gather(self, *arguments)

    monkeypatch.setattr(Segments, "gather", late)
    assert dealt(PlanSource(made, segments), 2, 3) == wanted


def test_remote_segments(tmp_path: Path, http_files: Any, s3: Any) -> None:
    made, here = plan(), library(http_files.folder)
    from storage.stores import remote

    client, _ = remote(s3.url)
    client.put(str(http_files.folder / "chat"), f"{s3.bucket}/chat", recursive=True)
    there = Library([Segments.open(f"{http_files.url}/text"), Segments.open(f"{s3.url}/chat")])
    assert dealt(PlanSource(made, there), 2, 4) == all_rows(made, here)


@pytest.mark.parametrize("stop", range(13))
def test_another_number_of_ranks_goes_on_behind_any_step(tmp_path: Path, stop: int) -> None:
    made, segments = plan(), library(tmp_path)
    whole = list(PlanSource(made, segments).steps(None, 0, 1, 4))
    state: Any = None
    for step in zip(range(stop), PlanSource(made, segments).steps(None, 1, 3, 4), strict=False):
        state = json.loads(json.dumps(step[1].state))
    rest = list(PlanSource(made, segments).steps(state, 0, 1, 4))
    assert [step.index for step in rest] == list(range(stop, 12))
    assert [list(rows_of(step)) for step in rest] == [list(rows_of(step)) for step in whole[stop:]]
    assert [step.state for step in rest] == [step.state for step in whole[stop:]]


def test_a_state_of_another_plan(tmp_path: Path) -> None:
    source = PlanSource(plan(), library(tmp_path))
    state = {"window": 1, "hash": "hash of 1", "steps": 2, "index": 6}
    assert next(source.steps(state, 0, 1, 1)).index == 6
    for wrong in ({"hash": "other"}, {"steps": 5}):
        with pytest.raises(ForeignError, match=r"the plan's window has 4 steps and hash 'hash of 1'.*another output"):
            next(source.steps({**state, **wrong}, 0, 1, 1))


@pytest.mark.parametrize(("rank", "world", "micro_batch_size"), [(2, 2, 1), (-1, 2, 1), (0, 0, 1), (0, 1, 0)])
def test_ranks_that_can_not_be(tmp_path: Path, rank: int, world: int, micro_batch_size: int) -> None:
    with pytest.raises(ValueError, match="give 0 <= rank < world"):
        next(PlanSource(plan(), library(tmp_path)).steps(None, rank, world, micro_batch_size))


def test_the_next_window_is_compiled_while_one_is_read(tmp_path: Path) -> None:
    made = plan()
    steps = PlanSource(made, library(tmp_path), max_bytes=1).steps(None, 0, 1, 1)
    next(steps)
    deadline = time.monotonic() + 10
    while made.asked != [0, 1] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.asked == [0, 1]
    assert len(list(steps)) == 11
    assert made.asked == [0, 1, 2]


def test_a_window_that_fails_ends_the_steps_before_it(tmp_path: Path) -> None:
    made = plan()
    made.fails[1] = TrainerError("source 'web' has given all")
    steps = PlanSource(made, library(tmp_path)).steps(None, 0, 1, 1)
    assert [next(steps).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(TrainerError, match="source 'web' has given all"):
        next(steps)


def test_a_flipped_byte_is_told_in_its_place(tmp_path: Path) -> None:
    """Steps before it come; the step that needs it does not."""
    tokens = np.arange(BLOCK_BYTES, dtype=np.uint32).astype(np.uint16)  # two blocks
    folder = write(tmp_path / "text", [[tokens]])
    (path,) = folder.glob("*.tokens")
    data = bytearray(path.read_bytes())
    data[BLOCK_BYTES + 77] ^= 4
    path.write_bytes(data)
    rows: list[list[list[Piece]]] = [[[(0, start, 11)]] for start in (0, 50, BLOCK_BYTES // 2 + 100, 0)]
    steps = PlanSource(HandPlan([rows], 10), Library([Segments.open(str(folder))])).steps(None, 0, 1, 1)
    assert [next(steps).batches[0].tokens[0, 0].item() for _ in range(2)] == [0, 50]
    with pytest.raises(IntegrityError, match=rf"{path.name}' is damaged: block 1 \(bytes 262,144 to 524,288\)"):
        next(steps)
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize("pieces", [[(0, 0, 42)], [(0, 0, 21), (0, 0, 22)], [(0, 0, 1)]])
def test_rows_that_no_plan_makes(tmp_path: Path, pieces: list[Piece]) -> None:
    with pytest.raises(IntegrityError, match=r"of the plan's window takes .* positions of 40"):
        next(PlanSource(HandPlan([[[[(0, 0, 5)], pieces]]], 40), library(tmp_path)).steps(None, 0, 1, 1))


def test_rows_in_chunks_and_slices() -> None:
    table = plan().window(0).rows
    pieces = Rows.of(table).pieces(np.arange(5, 9), 40)
    again = Rows.of(pa.concat_tables([table.slice(3, 4), table.slice(7)])).pieces(np.arange(2, 6), 40)
    for name in ("segment", "start", "length", "row", "column", "document", "used"):
        assert np.array_equal(getattr(pieces, name), getattr(again, name))


def test_what_is_read_ahead_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    gather = Segments.gather

    def counting(self: Segments, *arguments: Any) -> Any:
        read.append(1)
        return gather(self, *arguments)

    monkeypatch.setattr(Segments, "gather", counting)
    rows: list[list[list[Piece]]] = [[[(0, 0, 5)]] for _ in range(100)]
    for steps_ahead, max_bytes in ((1, 1), (1, 10 * BYTES_PER_POSITION), (7, 79 * BYTES_PER_POSITION)):
        read.clear()
        source = PlanSource(HandPlan([rows], 10), library(tmp_path / str(max_bytes)), max_bytes=max_bytes)
        steps = source.steps(None, 0, 1, 1)
        for taken in range(1, 4):
            step: Step = next(steps)
            assert step.index == taken - 1
            deadline = time.monotonic() + 5
            while len(read) < taken + steps_ahead and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.05)
            assert len(read) == taken + steps_ahead
        assert source.queue_depth <= steps_ahead
        assert len(source.waits.seconds) == 3
        assert 0 <= source.waits.p99_s() <= source.waits.max_s() <= source.waits.total_s()
        steps.close()  # type: ignore[attr-defined]


def test_dropped_and_interrupted_iterators_end_their_threads(tmp_path: Path) -> None:
    source = PlanSource(plan(), library(tmp_path))
    steps = source.steps(None, 0, 1, 1)
    next(steps)
    del steps
    steps = source.steps(None, 0, 1, 1)
    next(steps)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    source.steps(None, 0, 1, 1)  # never begun


CHILD = """
import sys, time
from pathlib import Path
from tests.trainer.loader.windows import library, plan
from trainer.loader import PlanSource
from trainer.segments.read import Segments
made = library(Path(sys.argv[1]))
gather = Segments.gather
def silent(*arguments):
    if Segments.begun:
        time.sleep(600)
    return gather(*arguments)
Segments.gather, Segments.begun = silent, False
for step in PlanSource(plan(), made, max_bytes=1).steps(None, 0, 1, 1):
    Segments.begun = True
    print(step.index, flush=True)
"""


def test_an_interrupt_ends_even_what_waits_for_a_silent_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert told.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode in (1, -signal.SIGINT)


def test_two_iterators_do_not_disturb_each_other(tmp_path: Path) -> None:
    made, segments = plan(), library(tmp_path)
    source = PlanSource(made, segments)
    pairs = list(zip(source.steps(None, 0, 1, 4), source.steps(None, 0, 1, 4), strict=True))
    assert [list(rows_of(one)) for one, _ in pairs] == [list(rows_of(other)) for _, other in pairs]
    assert len(pairs) == 12


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_pinned_batches_reach_a_gpu_unchanged(tmp_path: Path) -> None:
    made, segments = plan(), library(tmp_path)
    steps = [
        tuple(field.cpu() for batch in step.batches for field in fields(batch.to("cuda")))
        for step in PlanSource(made, segments).steps(None, 0, 1, 4)
    ]
    plain = PlanSource(made, segments, pin=False).steps(None, 0, 1, 4)
    for found, step in zip(steps, plain, strict=True):
        assert all(
            torch.equal(a, b)
            for a, b in zip(found, [field for batch in step.batches for field in fields(batch)], strict=True)
        )
