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
    notes: list[str] = []
    first = Board(tmp_path, 0, notes.append)
    for step in (1, 2, 3):
        first.add(step, {"loss": step / 2, "norm": None})
    first.close()
    second = Board(tmp_path, 2, notes.append)
    second.add(3, {"loss": 8.0})
    second.close()
    assert scalars(tmp_path, "loss") == [(1, 0.5), (2, 1.0), (3, 8.0)]
    assert notes == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_ends_the_events_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda path, mode: open("/dev/full", mode))  # noqa: PTH123, SIM115
    notes: list[str] = []
    board = Board(tmp_path, 0, notes.append)
    for step in range(1000):
        board.add(step, {"loss": 1.0})
    board.close()
    assert len(notes) == 1
    assert "No space left on device" in notes[0]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("")
    notes: list[str] = []
    board = Board(tmp_path / "events", 0, notes.append)
    board.add(1, {"loss": 1.0})
    board.close()
    assert [words.partition(":")[0] for words in notes] == ["TensorBoard's events end here"]


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(TrainerError, match=r"tensorboard is not installed; pip install 'gristmill\[trainer\]'"):
        Board(tmp_path, 0, print)
