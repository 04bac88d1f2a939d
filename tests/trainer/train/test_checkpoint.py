"""Checkpoints on disk: whole or not there."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from storage.errors import StorageError
from tests.small_disk import small_disk
from tests.trainer.train.toys import Killed, ListSource, Toy, kill_at, rows, run
from trainer.errors import IntegrityError, TrainerError, TrainingFailedError
from trainer.train import checkpoint
from trainer.train.writer import CheckpointWriter


def tensors(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "model/a.weight": torch.randn(20, 30, generator=generator),
        "model/b": torch.randn(7, generator=generator),
        "average/a.weight": torch.randn(20, 30, generator=generator, dtype=torch.float64),
        "optimizer/step/b": torch.tensor(3.0),
    }


def fail(words: str) -> None:
    raise AssertionError(words)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, 42, tensors(), {"progress": {"step": 42}, "words": "말"})
    assert path == tmp_path / "step-000042"
    assert names(tmp_path) == ["step-000042"]
    found = checkpoint.latest(tmp_path, fail)
    assert found is not None
    assert (found.path, found.step) == (path, 42)
    assert found.state == {"progress": {"step": 42}, "words": "말"}
    empty = {name: torch.zeros_like(tensor) for name, tensor in tensors().items()}
    found.load(empty)
    assert all(torch.equal(empty[name], tensor) for name, tensor in tensors().items())


def test_parts_are_read_alone(tmp_path: Path) -> None:
    found = checkpoint.opened(checkpoint.write(tmp_path, 1, tensors(), {}))
    assert {name: tensor.dtype for name, tensor in found.read("model").items()} == {
        "a.weight": torch.float32,
        "b": torch.float32,
    }
    assert torch.equal(found.read("average")["a.weight"], tensors()["average/a.weight"])
    assert found.read("reference") == {}
    raw, mean = found.weights(average=False), found.weights(average=True)
    assert torch.equal(raw["a.weight"], tensors()["model/a.weight"])
    assert torch.equal(mean["a.weight"], tensors()["average/a.weight"].float())
    assert torch.equal(mean["b"], raw["b"])


def test_another_model_is_told(tmp_path: Path) -> None:
    found = checkpoint.opened(checkpoint.write(tmp_path, 1, tensors(), {}))
    with pytest.raises(TrainerError, match=r"'model/b' should have the shape \(8,\), there is \(7,\)"):
        found.load({"model/b": torch.zeros(8)})
    with pytest.raises(TrainerError, match=r"'model/c' should have the shape \(8,\), there is 'none'"):
        found.load({"model/c": torch.zeros(8)})


def break_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


BREAKS = {
    "a_flipped_bit": lambda path: break_bit(path / "tensors" / "__0_0.distcp"),
    "a_flipped_bit_of_the_state": lambda path: break_bit(path / "state.json"),
    "a_flipped_bit_of_the_index": lambda path: break_bit(path / "tensors" / ".metadata"),
    "cut_short": lambda path: os.truncate(path / "tensors" / "__0_0.distcp", 1000),
    "a_missing_file": lambda path: (path / "tensors" / "__0_0.distcp").unlink(),
    "no_marker": lambda path: (path / "checkpoint.json").unlink(),
    "an_empty_marker": lambda path: (path / "checkpoint.json").write_bytes(b""),
    "a_marker_of_something_else": lambda path: (path / "checkpoint.json").write_text("[1]"),
    "a_later_format": lambda path: (path / "checkpoint.json").write_text(
        json.dumps({"format_version": 3, "step": 2, "files": {}})
    ),
    "a_marker_of_zeros": lambda path: (path / "checkpoint.json").write_bytes(bytes(4096)),
    "a_folder_for_a_marker": lambda path: ((path / "checkpoint.json").unlink(), (path / "checkpoint.json").mkdir()),
    "an_empty_folder": lambda path: (shutil.rmtree(path), path.mkdir()),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_one_is_passed_over_with_a_note(tmp_path: Path, name: str) -> None:
    checkpoint.write(tmp_path, 1, tensors(1), {"n": 1})
    BREAKS[name](checkpoint.write(tmp_path, 2, tensors(2), {"n": 2}))
    notes: list[str] = []
    found = checkpoint.latest(tmp_path, notes.append)
    assert found is not None
    assert found.state == {"n": 1}
    (note,) = notes
    assert note.startswith(f"passed over a checkpoint: {tmp_path / 'step-000002'}")
    assert len(note) < 1000
    BREAKS[name](tmp_path / "step-000001")
    (tmp_path / "step-000009").write_text("a file is no checkpoint")
    with pytest.raises(IntegrityError, match=r"none of the 2 checkpoints in .* is whole"):
        checkpoint.latest(tmp_path, notes.append)


def test_none_yet(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "missing", fail) is None
    (tmp_path / ".tmp-step-000003-77").mkdir()
    assert checkpoint.latest(tmp_path, fail) is None
    checkpoint.sweep(tmp_path)
    assert names(tmp_path) == []


def test_pruned_to_the_newest(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1_000_000, 20):
        checkpoint.write(tmp_path, step, tensors(), {})
    checkpoint.prune(tmp_path, 3, proven=99)
    assert names(tmp_path) == ["step-000020", "step-000100", "step-1000000"]


def test_what_is_held_open_is_left_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system keeps the folder of a file that somebody reads."""

    def refuse(path: str, **options: int) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    for step in (1, 2, 3):
        checkpoint.write(tmp_path, step, tensors(), {})
    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", refuse)
        checkpoint.prune(tmp_path, 2, proven=3)
        checkpoint.sweep(tmp_path)
    assert [name for name in names(tmp_path) if name.startswith("step-")] == ["step-000002", "step-000003"]
    assert len(names(tmp_path)) == 3
    checkpoint.sweep(tmp_path)
    assert names(tmp_path) == ["step-000002", "step-000003"]


def test_the_newest_good_one_is_not_pruned(tmp_path: Path) -> None:
    for step in (2, 4, 5, 6, 7):
        checkpoint.write(tmp_path, step, tensors(), {})
    checkpoint.prune(tmp_path, 2, proven=4)
    assert names(tmp_path) == ["step-000004", "step-000006", "step-000007"]


def test_falls_back_to_a_good_one(tmp_path: Path) -> None:
    """Which stays, though the run fails right behind it."""
    for step in (2, 4, 6, 7):
        checkpoint.write(tmp_path, step, tensors(), {})
    assert checkpoint.fall_back(tmp_path, 5) == tmp_path / "step-000004"
    assert names(tmp_path) == ["step-000002", "step-000004"]
    assert checkpoint.fall_back(tmp_path, 3) == tmp_path / "step-000004"
    found = checkpoint.latest(tmp_path, fail)
    assert found is not None
    assert found.step == 4
    assert checkpoint.fall_back(tmp_path / "none", 3) is None


def test_none_is_good(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, tensors(), {})
    assert checkpoint.fall_back(tmp_path, 0) is None
    assert checkpoint.latest(tmp_path, fail) is None


def test_one_that_stands_is_replaced(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 5, tensors(1), {"n": 1})
    checkpoint.write(tmp_path, 5, tensors(2), {"n": 2})
    assert names(tmp_path) == ["step-000005"]
    assert checkpoint.opened(tmp_path / "step-000005").state == {"n": 2}


def test_killed_while_writing(tmp_path: Path) -> None:
    """Wherever it is killed, what is found is whole: the old one or the new one."""
    code = (
        "import sys, torch; from pathlib import Path; from trainer.train import checkpoint\n"
        "folder = Path(sys.argv[1]); print('ready', flush=True)\n"
        "for step in range(1, 10**6):\n"
        "    checkpoint.write(folder, step, {'model/a': torch.full((1000, 200), float(step))}, {'n': step})\n"
        "    checkpoint.prune(folder, 2, step - 1)\n"
    )
    for delay in (0.3, 0.5):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        threading.Event().wait(delay)
        process.kill()
        process.wait()
        process.stdout.close()
        found = checkpoint.latest(tmp_path, fail)
        if found:
            assert found.read("model")["a"].eq(found.state["n"]).all()


def test_copies_at_once_and_writes_behind(tmp_path: Path) -> None:
    """What is changed after `save` returned is not in the checkpoint."""
    weight = torch.zeros(1000, 1000)
    with CheckpointWriter(tmp_path, 3, fail) as writer:
        for step in (1, 2, 3):
            weight.fill_(step)
            writer.save(step, {"model/a": weight}, {"n": step}, proven=step - 1)
            weight.fill_(99)
    for step in (1, 2, 3):
        found = checkpoint.opened(tmp_path / f"step-{step:06d}")
        assert found.read("model")["a"].eq(step).all()
    assert writer.last == tmp_path / "step-000003"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


def test_a_full_disk_leaves_the_last_one(disk: Path) -> None:
    small, large = {"model/a": torch.zeros(1000)}, {"model/a": torch.zeros(10**6)}
    checkpoint.write(disk, 1, small, {"n": 1})
    with pytest.raises(
        StorageError, match=r"no room for the checkpoint .*step-000002: 4,000,000 bytes wanted, .* free"
    ):
        checkpoint.write(disk, 2, large, {})
    (disk / "rest").write_bytes(bytes(shutil.disk_usage(disk).free - 12_000))  # room for the tensors, not for all
    with pytest.raises(StorageError, match=r"no room for the checkpoint .*step-000002: No space left on device"):
        checkpoint.write(disk, 2, {f"model/{n}": torch.zeros(100) for n in range(20)}, {"n": 2})
    assert names(disk) == ["rest", "step-000001"]
    found = checkpoint.latest(disk, fail)
    assert found is not None
    assert found.state == {"n": 1}


def test_a_full_disk_is_noted_and_training_goes_on(tmp_path: Path, disk: Path) -> None:
    notes: list[str] = []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(disk)
    filler = disk / "rest"

    def at_step(step: int) -> None:
        if step == 3:
            filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        if step == 9:
            filler.unlink()

    training = run(tmp_path / "run", [ListSource()], every=40, at_step=at_step, note=notes.append)
    assert training.progress.step == 12
    assert len(notes) >= 1
    assert "no room for the checkpoint" in notes[0]
    assert "training goes on, " in notes[0]
    assert checkpoint.opened(disk / "step-000012").state["progress"]["step"] == 12


def test_the_last_one_must_stand(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(disk)
    notes: list[str] = []

    def at_step(step: int) -> None:
        if step == 8:
            while not (disk / "step-000006").exists():  # nothing else is written meanwhile
                threading.Event().wait(0.01)
            (disk / "rest").write_bytes(bytes(shutil.disk_usage(disk).free))

    with pytest.raises(
        TrainingFailedError, match=r"no room .*step-000012.*the last good checkpoint is .*free space and"
    ):
        run(tmp_path / "run", [ListSource()], every=40, at_step=at_step, note=notes.append)
    (disk / "rest").unlink()
    whole = run(tmp_path / "whole", [ListSource()], every=40)
    resumed = run(tmp_path / "run", [ListSource()], every=40, model=Toy(seed=4))
    assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in whole.tensors().items())
    assert 1 < rows(tmp_path / "run")[-1].started <= 9


def test_a_file_size_limit_is_told_as_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, torch; from pathlib import Path; from trainer.train import checkpoint\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (3000, {resource.RLIM_INFINITY}))\n"
        f"checkpoint.write(Path({str(tmp_path)!r}), 2, {{'model/a': torch.zeros(9000)}}, {{}})\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "storage.errors.StorageError: no room for the checkpoint" in ran.stderr
    assert "File too large" in ran.stderr
    assert names(tmp_path) == []


def test_the_previous_one_is_gone_on_from(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", [ListSource()], every=60)
    with pytest.raises(Killed):
        run(tmp_path / "cut", [ListSource()], every=60, at_step=kill_at(12))
    newest, older = sorted((tmp_path / "cut" / "checkpoints").iterdir(), reverse=True)
    break_bit(newest / "tensors" / "__0_0.distcp")
    notes: list[str] = []
    resumed = run(tmp_path / "cut", [ListSource()], every=60, note=notes.append, model=Toy(seed=5))
    assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in whole.tensors().items())
    assert len(notes) == 1
    assert rows(tmp_path / "cut")[-1].started == int(older.name.removeprefix("step-")) + 1
