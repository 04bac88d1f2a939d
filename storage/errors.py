"""What storage raises: one family, each message saying what failed, the value, where, and what to do."""

import errno
import os

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageError(OSError):
    """Something could not be read, listed, written or removed."""


class MissingError(StorageError, FileNotFoundError):
    """A file, folder or match of a pattern that is not there."""


class PathError(StorageError):
    """A path that can't be meant so: a folder where a file belongs, a protocol that nothing here speaks."""


class DeniedError(StorageError):
    """Permissions or credentials do not allow it."""


class ChangedError(StorageError):
    """A file that became another one while it was read."""


class RegistryError(StorageError):
    """A model or list that is unknown, can't be had, or is not what its checksum says."""


class Locked(StorageError):  # noqa: N818 (it says what is the case)
    """Somebody else, alive, holds the lock."""


class StatusError(StorageError):
    """An HTTP answer other than the one asked for.

    Attributes:
        status: The HTTP status code.
        retry_after_s: Seconds that the server asked to wait, None where it did not say.
    """

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class UnreachedError(StorageError):
    """No connection came about: refused, an unknown name, no route."""


def full_disk(error: OSError, path: str, wanted: int) -> StorageError:
    """The error of a write that found no room (or met a quota or a file-size limit).

    Args:
        error: What the system said; its errno is one of `NO_SPACE`.
        path: The file that was being written.
        wanted: Bytes of it so far, those that failed included; 0 where unknown.
    """
    size = f" ({wanted:,} bytes wanted so far)" if wanted else ""
    told = StorageError(
        f"no space left to write {path!r}{size}: {os.strerror(error.errno or 0)}; "
        "free space and run the same command again; nothing committed is lost"
    )
    told.errno = error.errno
    return told
