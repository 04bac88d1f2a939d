"""Atomic writes: a file is there whole or not at all, whatever dies when.

Data files bear their content's hash in their name, so that two live attempts of one task write the same name with the
same bytes, or different names that do not touch; a marker made by `create_exclusive` decides which one counts.

Locally, a file is written under a temporary name in its own folder, flushed to the disk, then renamed (or linked,
which fails where the name exists). Object stores show an object whole or not at all, so it is first written to a
local temporary file (its name needs its hash), then uploaded under its final name.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from storage import stores
from storage.errors import NO_SPACE, PathError, StorageError, full_disk
from storage.paths import join
from storage.reads import BACKOFF, open_read
from storage.stores import is_local

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Committed:
    """A file that stands."""

    name: str
    """File name in its folder: `stem.hash16suffix`."""
    sha256: str
    bytes: int


class Hashing(io.BufferedIOBase):
    """Writes through to a file, counting and hashing. Closing it leaves the file open, for whoever owns it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self.count = 0

    @property
    def sha256(self) -> str:
        """64 hex digits of what was written so far."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        view = memoryview(data).cast("B")
        self.count += len(view)
        self._file.write(view)
        self._hash.update(view)
        return len(view)

    def tell(self) -> int:
        return self.count

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()


def write_hashed(folder: str, stem: str, suffix: str, write: Callable[[BinaryIO], None]) -> Committed:
    """Writes a file whose name tells its content: `stem.<16 hex of sha256>suffix` in `folder`.

    Args:
        folder: Made where it is missing.
        stem: Start of the name.
        suffix: Its end, dot included, such as `.parquet`.
        write: Gets a binary file to write to front to back (no seeking); it may close it.

    Raises:
        StorageError: No room, or the store refuses. Nothing is left behind.
    """
    with opened(join(folder, stem + suffix)) as (file, sink):
        write(cast(BinaryIO, sink))
        return finish(folder, stem, suffix, file, sink)


def opened(path: str) -> AbstractContextManager[tuple[BinaryIO, Hashing]]:
    """A temporary file for what will stand beside `path`, and the hashing writer to it; gone at the end of the context.

    Raises:
        StorageError: The store cannot be written.
    """
    if is_local(path):
        return _new_file(path)
    _writable(path)
    return _spool(path)


def finish(folder: str, stem: str, suffix: str, file: BinaryIO, sink: Hashing) -> Committed:
    """Gives a file of `opened` its hashed name in `folder`; it stands whole from then on."""
    name = f"{stem}.{sink.sha256[:16]}{suffix}"
    target = join(folder, name)
    if is_local(folder):
        _sync(file)
        _rename(Path(file.name), stores.local(target), sink.count)
    else:
        file.flush()
        _upload(Path(file.name), target, sink.count)
    return Committed(name, sink.sha256, sink.count)


def replace_atomic(path: str, data: bytes) -> None:
    """Puts `data` at `path`: readers see the old content or the new, whole.

    Raises:
        StorageError: No room, or the store refuses; the old content stands.
    """
    if is_local(path):
        with _new_file(path) as (file, sink):
            sink.write(data)
            _sync(file)
            with stores.told("write", path):
                Path(file.name).replace(stores.local(path))
                _sync_folder(stores.local(path).parent)
        return
    _writable(path)
    fs, inner = stores.remote(path)
    with stores.told("write", path):
        BACKOFF.call("writing", path, lambda: fs.pipe_file(inner, data))


def create_exclusive(path: str, data: bytes) -> bool:
    """Creates a file with all its content at once, if there is none of that name.

    Returns:
        True where this call created it, False where it stood already. After a lost answer of an object store a file
        that this very call created may be answered with False: whoever must know compares its content.

    Raises:
        StorageError: The store cannot create exclusively, or refuses.
    """
    if is_local(path):
        with _new_file(path) as (file, sink):
            sink.write(data)
            _sync(file)
            return _link(Path(file.name), stores.local(path))
    if stores.protocol(path) not in stores.OBJECT_STORES:
        raise PathError(
            f"cannot create {path!r}: markers need a store that creates a file only where there is none; "
            "use a local folder, s3://, gs:// or abfs://"
        )
    fs, inner = stores.remote(path)
    with stores.told("create", path):
        try:
            BACKOFF.call("creating", path, lambda: fs.pipe_file(inner, data, mode="create"))
        except FileExistsError:
            return False
    return True


def swap(path: str, old: bytes, new: bytes) -> bool:
    """Replaces `path` only if it still holds `old`; False where it does not. For locks, not for data.

    S3 compares by ETag (`If-Match`). Locally it is exact among processes of hosts that share `flock` on the folder;
    other stores compare, then write.
    """
    if is_local(path):
        with _folder_lock(stores.local(path).parent):
            if _content(path) != old:
                return False
            replace_atomic(path, new)
        return True
    fs, inner = stores.remote(path)
    with stores.told("replace", path):
        try:
            tag = str(fs.info(inner).get("ETag", ""))
            if _content(path) != old:
                return False
            match = {"IfMatch": tag} if tag and stores.protocol(path) in stores.S3 else {}
            BACKOFF.call("replacing", path, lambda: fs.pipe_file(inner, new, **match))
        except FileNotFoundError:
            return False
        except OSError as error:
            if match_failed(error):
                return False
            raise
    return True


def match_failed(error: OSError) -> bool:
    """Whether S3 refused a write because the object is another one by now (412)."""
    return "PreconditionFailed" in repr(error.__cause__) or "pre-conditions" in str(error)


def sha256_file(path: str) -> str:
    """The sha256 of a file, 64 hex digits, read once in bounded memory."""
    with stores.told("read", path), open_read(path) as file:
        return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()


def sweep_temporary(folder: str, *, idle_s: float = 0.0) -> int:
    """Removes temporary files that killed processes left in a local folder; returns how many.

    Only for folders in which nobody writes, or with `idle_s`: then what was written to within so many seconds stays.
    Object stores have none.
    """
    if not is_local(folder):
        return 0
    count = 0
    for place in stores.local(folder).glob(f"{stores.TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if not idle_s or time.time() - place.stat().st_mtime > idle_s:
                place.unlink()
                count += 1
    return count


def _content(path: str) -> bytes | None:
    try:
        with open_read(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


@contextmanager
def _new_file(path: str) -> Iterator[tuple[BinaryIO, Hashing]]:
    """A temporary file beside `path`, gone at the end unless it was renamed."""
    target = stores.local(path)
    place = target.parent / f"{stores.TEMPORARY}{secrets.token_hex(8)}-{os.getpid()}"
    with stores.told("write", path):
        target.parent.mkdir(parents=True, exist_ok=True)
        file: BinaryIO = place.open("xb", buffering=_CHUNK)
    with _removed(file, path) as sink:
        yield file, sink


@contextmanager
def _spool(path: str) -> Iterator[tuple[BinaryIO, Hashing]]:
    """A local temporary file that is uploaded later, gone at the end."""
    with stores.told("write a temporary file for", path):
        made = tempfile.NamedTemporaryFile(prefix="gristmill-", buffering=_CHUNK, delete=False)  # noqa: SIM115
    file = cast(BinaryIO, made)
    with _removed(file, f"{made.name} (to be uploaded to {path})") as sink:
        yield file, sink


@contextmanager
def _removed(file: BinaryIO, path: str) -> Iterator[Hashing]:
    """Closes and removes the file at the end; says plainly where there was no room for it."""
    sink = Hashing(file)
    try:
        yield sink
    except OSError as error:
        if error.errno in NO_SPACE and not isinstance(error, StorageError):
            raise full_disk(error, path, sink.count) from error
        raise
    finally:
        try:
            file.close()
        except OSError as error:
            if error.errno not in NO_SPACE:  # what was still buffered of the failed write finds no room again
                raise
        finally:
            Path(file.name).unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync folders
            raise
    finally:
        os.close(handle)


def _rename(source: Path, target: Path, size: int) -> None:
    """Gives a file its final name; one that stands under it with that size has the same content."""
    with stores.told("write", str(target)):
        if not (target.exists() and target.stat().st_size == size):
            source.replace(target)
            _sync_folder(target.parent)


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise StorageError(
            f"cannot create {str(target)!r}: its file system makes no hard links ({error.strerror}), which markers "
            "need; give a folder on another one"
        ) from error
    _sync_folder(target.parent)
    return True


def _upload(source: Path, path: str, size: int) -> None:
    fs, inner = stores.remote(path)
    with stores.told("write", path):
        try:
            if fs.info(inner).get("size") == size:
                return
        except FileNotFoundError:
            pass
        BACKOFF.call("writing", path, lambda: fs.put_file(str(source), inner))


def _writable(path: str) -> None:
    if stores.protocol(path) not in stores.OBJECT_STORES:
        raise StorageError(f"cannot write {path!r}: output goes to a local folder, s3://, gs:// or abfs://")


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Holds `flock` on a folder for a moment; goes without where its file system has none."""
    with stores.told("lock", str(folder)):
        handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
