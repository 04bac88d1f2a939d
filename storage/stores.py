"""From a path to the store that holds it: local folders, or a file system of fsspec."""

import datetime
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.errors import NO_SPACE, DeniedError, MissingError, PathError, StorageError, full_disk

S3 = ("s3", "s3a")
OBJECT_STORES = frozenset({*S3, "gs", "gcs", "abfs", "abfss", "az", "memory"})
"""Stores where an object appears whole or not at all, and can be created exclusively."""

TEMPORARY = ".tmp-"
"""How names of temporary files begin; `commit.sweep_temporary` removes what killed processes left of them."""
_TAGS = ("ETag", "etag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified", "created")


def protocol(path: str) -> str:
    """`s3` of `s3://bucket/key`; `file` for local paths."""
    head, separator, _ = path.partition("://")
    return head.lower() if separator else "file"


def server(path: str) -> str:
    """What has to answer for a remote path: `https://host:port`, `s3://bucket`."""
    head, separator, rest = path.partition("://")
    return f"{head.lower()}{separator}{rest.partition('/')[0].rpartition('@')[2]}"


def is_local(path: str) -> bool:
    """Whether `path` is on this machine's file system (`file://` included)."""
    return protocol(path) in ("file", "local")


def local(path: str) -> Path:
    """The local path, `~` resolved and `file://` taken off."""
    if not path:
        raise PathError(f"{path!r} is no path: give a file, folder or URL")
    head, separator, rest = path.partition("://")
    if separator:
        return Path(urllib.parse.unquote(rest)) if head.lower() == "file" else Path(rest)
    return Path(path).expanduser()


def remote(path: str) -> tuple[Any, str]:
    """fsspec's file system for `path`, and the path as that file system wants it.

    Raises:
        PathError: An unknown protocol, or its client is not installed.
    """
    options: dict[str, Any] = {}
    if protocol(path) in S3:
        # the endpoint is part of the key by which fsspec caches clients; listings change under us
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        options = {"endpoint_url": endpoint, "use_listings_cache": False}
    import fsspec  # slow, and local files need none of it

    try:
        return fsspec.core.url_to_fs(path, **options)
    except (ImportError, ValueError) as error:
        raise PathError(f"cannot open {path!r}: {error}; known are local paths, http(s)://, s3:// and what is "
                        "installed of fsspec's others (gs:// needs gcsfs, abfs:// adlfs)") from error  # fmt: skip


@contextmanager
def told(action: str, path: str) -> Iterator[None]:
    """Turns what clients raise inside into StorageErrors that say what failed, where, and what to do."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise MissingError(f"cannot {action} {path!r}: there is no such file or folder; check the path") from error
    except PermissionError as error:
        raise DeniedError(f"cannot {action} {path!r}: not allowed ({error}); check its permissions or your "
                          "credentials") from error  # fmt: skip
    except _client_errors(path) as error:
        raise _client_fault(action, path, error) from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise full_disk(error, path, 0) from error
        raise StorageError(f"cannot {action} {path!r}: {error}") from error


def _client_errors(path: str) -> tuple[type[Exception], ...]:
    """What the client of a path's store raises; nothing where it is local and has none."""
    if is_local(path):
        return ()
    from storage import clients

    return clients.ERRORS


def _client_fault(action: str, path: str, error: Exception) -> StorageError:
    from storage import clients

    if isinstance(error, clients.NO_CREDENTIALS):
        return DeniedError(
            f"cannot {action} {path!r}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
            "or a role"
        )
    return StorageError(f"cannot {action} {path!r}: {error}; run the same command again later")


def tag(found: dict[str, Any]) -> str:
    """What a store's description of a file says about its version."""
    for key in _TAGS:
        if found.get(key):
            value = found[key]
            return str(value.timestamp() if isinstance(value, datetime.datetime) else value).strip('"')
    return ""
