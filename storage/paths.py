"""Paths that work alike for local files, `http(s)://`, `s3://` and whatever else fsspec opens.

A path is a string: local (`/a/b`, `~/a`, `file:///a/b`) or a URL. Local files bypass fsspec; HTTP goes through
`storage.http`, which keeps the statuses and headers that patience needs; the rest goes through fsspec.
"""

import glob
import hashlib
import os
import posixpath
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import http, stores
from storage.errors import MissingError, PathError, StorageError
from storage.reads import BACKOFF, open_read, read_range
from storage.retry import Backoff
from storage.stores import is_local

__all__ = [
    "FileInfo",
    "exists",
    "expand",
    "info",
    "is_local",
    "join",
    "listdir",
    "open_read",
    "read_range",
    "relative",
    "remove",
    "remove_tree",
    "safe_name",
]

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=@-]")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as its store describes it."""

    path: str
    """Opens it with `open_read`."""
    size: int
    """Bytes; 0 where the store does not say."""
    etag: str
    """The store's tag, or `mtime_ns-size` locally: another value means other content."""


def info(path: str, *, backoff: Backoff = BACKOFF) -> FileInfo:
    """Size and tag of a file.

    Raises:
        MissingError: There is none.
        PathError: It is a folder.
        StorageError: The store refuses.
    """
    if is_local(path):
        return _local_info(path)
    if http.is_http(path):
        return backoff.call("asking for", path, lambda: _http_info(path))
    fs, inner = stores.remote(path)
    with stores.told("find", path):
        found = backoff.call("asking for", path, lambda: fs.info(inner))
    if found.get("type") == "directory":
        raise _folder(path)
    return _remote_info(fs, found)


def _local_info(path: str) -> FileInfo:
    place = stores.local(path)
    with stores.told("find", path):
        found = place.stat()
    if place.is_dir():
        raise _folder(path)
    return FileInfo(str(place), found.st_size, f"{found.st_mtime_ns}-{found.st_size}")


def _http_info(url: str) -> FileInfo:
    stream = http.open_range(url, 0, 1)
    stream.close()
    return FileInfo(url, stream.total or 0, stream.etag)


def _remote_info(fs: Any, found: dict[str, Any]) -> FileInfo:
    return FileInfo(str(fs.unstrip_protocol(found["name"])), int(found.get("size") or 0), stores.tag(found))


def _folder(path: str) -> PathError:
    return PathError(f"{path!r} is a folder; give its files by a glob such as {path.rstrip('/') + '/**/*.warc.gz'!r}")


def expand(pattern: str, *, backoff: Backoff = BACKOFF) -> list[FileInfo]:
    """The files that a path or glob (`*`, `?`, `[…]`, `**`) names, sorted by path.

    Raises:
        MissingError: No file is named so, or nothing matches.
        PathError: It is a folder, or the store cannot list.
        StorageError: The store refuses.
    """
    if http.is_http(pattern):
        if "*" in pattern:
            raise PathError(f"cannot expand {pattern!r}: HTTP servers do not list folders; name each file, or give "
                            "a list of paths (such as warc.paths.gz) with --prefix")  # fmt: skip
        return [info(pattern, backoff=backoff)]
    if not glob.has_magic(pattern):
        return [info(pattern, backoff=backoff)]
    if is_local(pattern):
        with stores.told("list", pattern):
            found = _local_matches(pattern)
    else:
        fs, inner = stores.remote(pattern)
        with stores.told("list", pattern):
            listed = backoff.call("listing", pattern, lambda: fs.glob(inner, detail=True))
        found = [_remote_info(fs, entry) for entry in listed.values() if entry.get("type") != "directory"]
    if not found:
        raise MissingError(f"no file matches {pattern!r}; check the pattern")
    return sorted(found, key=lambda file: file.path)


def _local_matches(pattern: str) -> list[FileInfo]:
    place = stores.local(pattern)
    if place.is_file():  # its name has brackets in it
        return [_local_info(pattern)]
    names = sorted(set(glob.glob(str(place), recursive=True)))  # noqa: PTH207 (absolute ones)
    return [_local_info(name) for name in names if not Path(name).is_dir()]


def exists(path: str) -> bool:
    """Whether there is a file or folder of this name."""
    if is_local(path):
        return stores.local(path).exists()
    if http.is_http(path):
        try:
            info(path)
        except MissingError:
            return False
        return True
    fs, inner = stores.remote(path)
    with stores.told("find", path):
        return bool(BACKOFF.call("asking for", path, lambda: fs.exists(inner)))


def listdir(path: str) -> list[str]:
    """Names of files and folders right below a folder, sorted; none where the folder is missing."""
    if is_local(path):
        with stores.told("list", path):
            place = stores.local(path)
            return sorted(entry.name for entry in place.iterdir()) if place.exists() else []
    fs, inner = _listing(path)
    with stores.told("list", path):
        try:
            names = BACKOFF.call("listing", path, lambda: fs.ls(inner, detail=False))
        except FileNotFoundError:
            return []
    base = inner.rstrip("/")
    return sorted({posixpath.basename(name.rstrip("/")) for name in names if name.rstrip("/") != base})


def remove(path: str) -> None:
    """Removes a file; a missing one is no error."""
    if is_local(path):
        with stores.told("remove", path):
            stores.local(path).unlink(missing_ok=True)
        return
    fs, inner = _listing(path)
    with stores.told("remove", path):
        try:
            BACKOFF.call("removing", path, lambda: fs.rm_file(inner))
        except FileNotFoundError:
            return


def remove_tree(path: str) -> None:
    """Removes a folder with all below it; a missing one is no error.

    Raises:
        StorageError: It is a root (`/`, a home folder, a whole bucket), or cannot be removed.
    """
    if is_local(path):
        place = stores.local(path).resolve()
        if place in (Path(place.anchor), Path.home(), Path.cwd()):
            raise StorageError(f"will not remove {path!r} with all below it: it is the root, home or working folder")
        with stores.told("remove", path):
            if place.exists():
                shutil.rmtree(place)
        return
    fs, inner = _listing(path)
    if "/" not in inner.strip("/") and stores.protocol(path) != "memory":
        raise StorageError(f"will not remove {path!r} with all below it: it is a whole bucket")
    with stores.told("remove", path):
        try:
            BACKOFF.call("removing", path, lambda: fs.rm(inner, recursive=True))
        except FileNotFoundError:
            return


def _listing(path: str) -> tuple[Any, str]:
    if http.is_http(path):
        raise PathError(f"cannot list or change {path!r}: HTTP is read only here; use s3:// or a local path")
    return stores.remote(path)


def join(base: str, *parts: str) -> str:
    """`base` with relative parts below it.

    Raises:
        StorageError: A part is absolute, a URL, or climbs out with `..`.
    """
    path = base
    for part in parts:
        if part.startswith("/") or "://" in part or "\0" in part or ".." in part.split("/"):
            raise StorageError(f"{part!r} does not stay below {base!r}; give a relative name without '..'")
        path = path + part if path.endswith("/") or not part else f"{path}/{part}"
    return path


def relative(path: str, base: str) -> str:
    """The name of `path` below the folder `base`, with `/` between parts.

    Raises:
        StorageError: It is not below it.
    """
    one, other = _plain(path), _plain(base)
    folder = other.rstrip("/") + "/"
    if not one.startswith(folder) or one == folder:
        raise StorageError(f"{path!r} is not below {base!r}")
    return one[len(folder) :]


def _plain(path: str) -> str:
    if is_local(path):
        return os.path.normpath(Path.cwd() / stores.local(path))
    return path if http.is_http(path) else stores.remote(path)[1]


def safe_name(text: str) -> str:
    """A file-name part made from any label: equal labels give equal names, different labels different ones.

    Labels of ASCII letters, digits and `._+=@-` (not first `.` or `-`; up to 100 characters) stay as they are. Others
    get `_` for what is unsafe and a hash after `~`, which no label that stays as it is can hold.
    """
    if text and len(text) <= 100 and text[0] not in ".-" and not _UNSAFE.search(text):
        return text
    tag = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    plain = _UNSAFE.sub("_", text)[:80]
    return f"{'_' + plain[1:] if plain[:1] in ('.', '-') else plain}~{tag}"
