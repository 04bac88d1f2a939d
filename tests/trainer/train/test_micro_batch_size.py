"""Rows that go through the model at once."""

from typing import Any

import pytest
import torch

from schemas.training import ModelSpec, TrainingSpec
from tests.trainer import nano
from trainer.errors import TrainerError
from trainer.model.memory import Setting, estimate
from trainer.model.room import Room
from trainer.model.shape import Shape
from trainer.train.micro_batch_size import micro_batch_size, rows_of
from trainer.train.ranks import Ranks

MODEL = ModelSpec(family="llama", layers=2, dim=64, heads=4, context=512)
SHAPE = Shape.of(MODEL, 320)


def spec(stage: dict[str, Any], **changes: Any) -> TrainingSpec:
    """One stage."""
    return nano.spec(stages=[{**nano.spec().stages[0].model_dump(by_alias=True), **stage}], **changes)


@pytest.mark.parametrize(
    ("stage", "rows"),
    [
        ({"batch": 1024, "seq_len": 16}, 64),
        ({"batch": 1000, "seq_len": 16}, 62),
        ({"batch": [[0, 512], [50, 768], [90, 1024]], "seq_len": [[0, 16], [50, 32]]}, 32),
        ({"batch": [[0, 512], [90, 2048]], "seq_len": [[0, 16], [50, 32]]}, 64),
        ({"batch": 6, "loss": {"name": "dpo"}}, 12),
    ],
)
def test_rows_of_the_widest_step(stage: dict[str, Any], rows: int) -> None:
    """By what length and batch are at the same time."""
    assert rows_of(spec(stage).stages[0]) == rows


def test_as_many_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank's rows in equal parts; the recipe's number goes before, as far as there are so many rows."""
    one = spec({"batch": 6000, "seq_len": 100})
    setting = Setting(device="cpu", precision="float32")
    need = estimate(SHAPE, setting, rows=20, seq_len=100).total
    small = Room(int(need / 0.92) + 4096, 2**40, "a small host")
    rooms = {"small": small, "large": Room(2**40, 2**40, "a large host")}
    cpu = torch.device("cpu")
    for where, world, wanted, found in (
        ("large", 1, None, 60), ("large", 4, None, 15), ("small", 1, None, 20), ("small", 4, None, 15),
        ("large", 1, 7, 7), ("large", 4, 99, 15),
    ):  # fmt: skip
        monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _, there=rooms[where]: there)
        changed = one.model_copy(update={"micro_batch_size": wanted})
        assert micro_batch_size(MODEL, 320, changed, Ranks(0, world, cpu)) == (found,)


@pytest.mark.parametrize(
    ("wanted", "world", "pairs", "found"), [(1, 1, 3, 2), (5, 1, 3, 4), (99, 1, 3, 6), (None, 1, 3, 6), (None, 2, 3, 4)]
)
def test_rows_of_pairs_stay_together(
    monkeypatch: pytest.MonkeyPatch, wanted: int | None, world: int, pairs: int, found: int
) -> None:
    """What is held against memory is what the loader gives."""
    monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _: Room(2**40, 2**40, "a large host"))
    one = spec({"batch": pairs, "seq_len": 64, "loss": {"name": "dpo"}}, micro_batch_size=wanted)
    assert micro_batch_size(MODEL, 320, one, Ranks(0, world, torch.device("cpu"))) == (found,)


def test_one_pair_takes_two_rows_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec({"batch": 2, "seq_len": 64, "loss": {"name": "dpo"}}, micro_batch_size=1)
    setting = Setting(device="cpu", precision="float32", reference=True)
    free = estimate(SHAPE, setting, rows=1, seq_len=64).total
    monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _: Room(2**40, free, "a host"))
    with pytest.raises(TrainerError, match="2 rows of 64 positions need"):
        micro_batch_size(MODEL, 320, one, Ranks(0, 1, torch.device("cpu")))


def test_what_is_not_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _: Room(2**40, 2**20, "a busy host"))
    for wanted in (None, 3):
        with pytest.raises(TrainerError, match=r"positions need .*, a busy host has .* for it; set micro_batch_size"):
            micro_batch_size(
                MODEL,
                320,
                spec({"batch": 6000, "seq_len": 100}, micro_batch_size=wanted),
                Ranks(0, 1, torch.device("cpu")),
            )


def test_copies_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """An average and a reference take memory of their own."""
    plain = estimate(SHAPE, Setting(device="cpu", precision="float32"), rows=4, seq_len=64).total
    monkeypatch.setattr("trainer.train.micro_batch_size.room", lambda _: Room(2**40, plain, "a host"))
    one = {"batch": 256, "seq_len": 64}
    assert micro_batch_size(MODEL, 320, spec(one), Ranks(0, 1, torch.device("cpu"))) == (4,)
    for more in ({"average": True}, {"batch": 2, "loss": {"name": "dpo"}}):
        with pytest.raises(TrainerError, match="a host has"):
            micro_batch_size(MODEL, 320, spec({**one, **more}), Ranks(0, 1, torch.device("cpu")))


def test_a_gpus_host_must_hold_the_copy_for_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the rank that writes them."""
    host = estimate(SHAPE, Setting(), rows=1, seq_len=64).host
    free = {"cuda": 2**40, "cpu": host}
    monkeypatch.setattr(
        "trainer.train.micro_batch_size.room", lambda device: Room(2**40, free[device.type], device.type)
    )
    one, gpu = spec({"batch": 256, "seq_len": 64}), torch.device("cuda")
    assert micro_batch_size(MODEL, 320, one, Ranks(0, 1, gpu)) == (4,)
    free["cpu"] -= 1
    with pytest.raises(TrainerError, match="in the host's memory, and cpu has"):
        micro_batch_size(MODEL, 320, one, Ranks(0, 1, gpu))
    assert micro_batch_size(MODEL, 320, one, Ranks(1, 2, gpu)) == (2,)
