"""A checkpoint on disk: whole or not there, and no byte of it believed unhashed.

`step-000123/` holds
  tensors/         torch.distributed.checkpoint: `model/NAME`, `optimizer/WHAT/NAME`, `average/NAME`, `reference/NAME`
  state.json       everything else: progress, the source's state, guards, decisions; nothing of any single rank
  checkpoint.json  the marker, written last: sha256 and size of every other file
  good             empty, where a run that failed fell back to this one: later steps had found its weights good
It is written under a temporary name and renamed. As it holds no rank's own part, any number of ranks may go on from it.
The tensors' index is a pickle of torch's: give no checkpoint that you don't trust to `--init`.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from storage.errors import NO_SPACE, StorageError
from trainer.errors import IntegrityError, TrainerError

MARKER = "checkpoint.json"
_STATE, _TENSORS = "state.json", "tensors"
_FORMAT = 2
_GOOD = "good"
_NAME = re.compile(r"step-(\d{6,})")
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One that was found whole."""

    path: Path
    step: int
    state: Mapping[str, Any]
    sha256: str
    """Of its marker, and so of all of it."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Reads into given tensors, on whatever device they are; others in the checkpoint are passed over.

        Raises:
          TrainerError: It has no such tensor, or one of another shape: it was made by another recipe.
        """
        stored = self._stored()
        for name, tensor in tensors.items():
            if name not in stored or stored[name].size != tensor.shape:
                there = tuple(stored[name].size) if name in stored else "none"
                raise TrainerError(
                    f"{self.path}: {name!r} should have the shape {tuple(tensor.shape)!r}, there is {there!r}; "
                    "it was made with another model or optimizer"
                )
        load(dict(tensors), storage_reader=FileSystemReader(self.path / _TENSORS), no_dist=_alone())

    def read(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with `prefix/`, on the CPU, without it; none where there are none."""
        found = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in self._stored().items()
            if name.startswith(prefix + "/")
        }
        if found:
            self.load(found)
        return {name.removeprefix(prefix + "/"): tensor for name, tensor in found.items()}

    def weights(self, average: bool) -> dict[str, Tensor]:
        """A state dict for the model: the weights of the last step, or their average where there is one."""
        raw = self.read("model")
        if average:
            raw |= {name: mean.to(raw[name].dtype) for name, mean in self.read("average").items()}
        return raw

    def _stored(self) -> dict[str, TensorStorageMetadata]:
        entries = FileSystemReader(self.path / _TENSORS).read_metadata().state_dict_metadata
        return {name: entry for name, entry in entries.items() if isinstance(entry, TensorStorageMetadata)}


def write(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Writes `folder/step-NNNNNN`, in place of one that stands there. Tensors lie on the CPU and don't change.

    Raises:
      StorageError: No room, or the system refuses. Nothing is left of it; those before stand.
    """
    target = folder / f"step-{step:06d}"
    temporary = folder / f"{_TEMPORARY}{target.name}-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        _room(folder, tensors)
        _write_tensors(temporary / _TENSORS, tensors)
        _write_json(temporary / _STATE, dict(state))
        files = {str(path.relative_to(temporary)): _entry(path) for path in _files(temporary)}
        _write_json(temporary / MARKER, {"format_version": _FORMAT, "step": step, "files": files})
        for inner in (temporary / _TENSORS, temporary):
            _sync_folder(inner)
        remove(target)
        temporary.rename(target)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in NO_SPACE:
            raise StorageError(f"no room for the checkpoint {target}: {error.strerror or error}") from error
        raise StorageError(f"the checkpoint {target} can't be written: {error}") from error
    return target


def latest(folder: Path, note: Callable[[str], None], *, tensors: bool = True) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where none was ever finished.

    Args:
      folder: `checkpoints/` of a run's output.
      note: Is told of each that is not whole and passed over.
      tensors: As `opened` has it.

    Raises:
      IntegrityError: There are some, and none is whole.
    """
    found = sorted(_finished(folder), reverse=True)
    for _, path in found:
        try:
            return opened(path, tensors=tensors)
        except IntegrityError as error:
            note(f"passed over a checkpoint: {error}")
    if found:
        raise IntegrityError(f"none of the {len(found)} checkpoints in {folder} is whole; --fresh starts anew")
    return None


def opened(path: Path, *, tensors: bool = True) -> Checkpoint:
    """A checkpoint by its folder, every file compared with the marker's sha256.

    Args:
      path: The folder.
      tensors: False leaves their files unread, for whoever asks for the state alone.

    Raises:
      IntegrityError: The marker or a file is missing, or altered.
    """
    try:
        raw = (path / MARKER).read_bytes()
        marker = json.loads(raw)
        files, step, version = dict(marker["files"]), int(marker["step"]), marker["format_version"]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise IntegrityError(f"{path} has no {MARKER}: it is no checkpoint, or was interrupted") from error
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path / MARKER} is no checkpoint's marker ({type(error).__name__}: {error})") from error
    if version != _FORMAT:
        raise IntegrityError(f"{path / MARKER} is of format {version!r}, this program reads {_FORMAT}")
    for name, entry in files.items():
        if not tensors and name.startswith(f"{_TENSORS}/"):
            continue
        file = path / name
        if not file.is_file():
            raise IntegrityError(f"{file} is missing")
        if (is_now := _entry(file)) != entry:
            raise IntegrityError(f"{file} is not what was written: {is_now!r}, the marker says {entry!r}")
    return Checkpoint(path, step, json.loads((path / _STATE).read_bytes()), hashlib.sha256(raw).hexdigest())


def prune(folder: Path, keep: int, proven: int) -> None:
    """Removes all but the newest `keep`, and but the newest that is no later than step `proven`."""
    found = sorted(_finished(folder), reverse=True)
    good = next((path for step, path in found if step <= proven), None)
    for _, path in found[keep:]:
        if path != good:
            remove(path)


def fall_back(folder: Path, proven: int) -> Path | None:
    """Removes those whose weights may be ruined, newest first, down to the first that is good.

    Args:
      folder: `checkpoints/` of a run's output.
      proven: The newest step whose weights are known to be good.

    Returns:
      The good one, None where none is left. It is marked, so that it stays however often the run fails behind it, on a
      broken GPU say.
    """
    for step, path in sorted(_finished(folder), reverse=True):
        if step <= proven or (path / _GOOD).exists():
            (path / _GOOD).touch()
            return path
        remove(path)
    return None


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written or half removed. For the one that owns the run's output."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def remove(path: Path) -> None:
    """Removes a checkpoint; killed meanwhile, none of that name is left. None there: nothing to do."""
    if path.exists():
        doomed = path.with_name(f"{_TEMPORARY}removed-{path.name}-{os.getpid()}")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)  # what is held open on a network file system, `sweep` takes later


def _finished(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and (named := _NAME.fullmatch(path.name)):
            yield int(named[1]), path


def _write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    # what torch.distributed.checkpoint raises of its own is no Exception, and hides the system's error in its contexts
    try:
        save(
            dict(tensors),
            storage_writer=FileSystemWriter(folder, single_file_per_rank=True, sync_files=True),
            no_dist=_alone(),
        )
    except CheckpointException as error:
        failure: BaseException | None = error.failures[0][0]
        while failure is not None and not isinstance(failure, OSError):
            failure = failure.__cause__ or failure.__context__
        if failure is None:
            raise RuntimeError(f"torch.distributed.checkpoint failed to write {folder}: {error}") from error
        raise OSError(failure.errno, failure.strerror) from error


def _alone() -> bool:
    """Always: one rank writes and reads for all. torch warns each time that it does so, which is what is wanted."""
    warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
    return True


def _room(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    wanted = sum(tensor.nbytes for tensor in tensors.values())
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise OSError(errno.ENOSPC, f"{wanted:,} bytes wanted, {free:,} free")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("xb") as file:
        file.write(json.dumps(value, indent=1, allow_nan=False).encode())
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
