"""The dataset on its own, in a DataLoader with and without workers."""

from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from tests.trainer.loader.windows import library, plan, rows_of
from trainer.errors import TrainerError
from trainer.loader import PlanSource, StepDataset


def dataset(folder: Path, **options: Any) -> StepDataset:
    return StepDataset(PlanSource(plan(), library(folder)), micro_batch_size=4, **options)


def taken(steps: Any) -> list[Any]:
    return [(step.index, list(rows_of(step))) for step in steps]


@pytest.mark.parametrize(("workers", "context"), [(0, None), (1, "fork"), (2, "fork"), (2, "spawn")])
def test_the_same_steps_by_any_number_of_workers(tmp_path: Path, workers: int, context: str | None) -> None:
    whole = taken(dataset(tmp_path / "a"))
    loader = DataLoader(dataset(tmp_path / "b"), batch_size=None, num_workers=workers, multiprocessing_context=context)
    assert taken(loader) == whole
    assert [index for index, _ in whole] == list(range(12))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 4, 7, 12])
def test_goes_on_behind_any_step(tmp_path: Path, workers: int, stop: int) -> None:
    whole = taken(dataset(tmp_path / "a", rank=1, world=2))
    first = dataset(tmp_path / "b", rank=0, world=3)
    steps = iter(DataLoader(first, batch_size=None))
    state = [next(steps) for _ in range(stop)][-1].state
    assert first.state_dict() == state
    again = dataset(tmp_path / "c", rank=1, world=2)
    again.load_state_dict(state)
    assert again.state_dict() == state
    loader = DataLoader(
        again, batch_size=None, num_workers=workers, multiprocessing_context="fork" if workers else None
    )
    assert taken(loader) == whole[stop:]


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("stop", [3, 12])
def test_every_iteration_begins_behind_what_was_loaded(
    tmp_path: Path, workers: int, persistent: bool, stop: int
) -> None:
    """The same with workers and without, after a whole iteration and one broken off."""
    whole = taken(dataset(tmp_path / "a"))
    one = dataset(tmp_path / "b")
    options: Any = {"multiprocessing_context": "fork", "persistent_workers": persistent} if workers else {}
    loader = DataLoader(one, batch_size=None, num_workers=workers, **options)
    state = [step for step, _ in zip(loader, range(stop), strict=False)][-1].state
    assert taken(loader) == whole
    one.load_state_dict(state)
    again = DataLoader(one, batch_size=None, num_workers=workers, **options)
    assert [taken(again), taken(again)] == [whole[stop:]] * 2
    one.load_state_dict({})
    assert taken(DataLoader(one, batch_size=None, num_workers=workers, **options)) == whole


def test_an_empty_state_is_the_start(tmp_path: Path) -> None:
    one = dataset(tmp_path)
    assert one.state_dict() == {}
    one.load_state_dict({})
    assert next(iter(one)).index == 0


def test_a_worker_knows_no_state_of_the_whole(tmp_path: Path) -> None:
    class Asks(StepDataset):
        def __iter__(self) -> Any:
            yield self.state_dict()

    asks = Asks(PlanSource(plan(), library(tmp_path)))
    loader = DataLoader(asks, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(TrainerError, match="take `state` of the last step"):
        next(iter(loader))
