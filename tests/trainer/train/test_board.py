import sys
from pathlib import Path

import pytest

from trainer.errors import TrainerError
from trainer.train.board import Board


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_later_steps_are_dropped_on_resume(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = Board(tmp_path, 0)
    for step in (1, 2, 3):
        first.add(step, {"loss": step / 2, "norm": None})
    first.close()
    second = Board(tmp_path, 2)
    second.add(3, {"loss": 8.0})
    second.close()
    assert scalars(tmp_path, "loss") == [(1, 0.5), (2, 1.0), (3, 8.0)]


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainerError, match=r"need the package tensorboard: pip install 'gristmill\[trainer\]'"):
        Board(tmp_path, 0)
