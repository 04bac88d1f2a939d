"""Small files whose last line is the sha256 of what stands before it: manifests and marks of segments, plan markers."""

import hashlib

from storage.paths import open_read
from trainer.errors import IntegrityError


def append(content: bytes) -> bytes:
    """What to write, so that `read` gives `content`."""
    return content + b"\n" + _sha256(content)


def read(path: str) -> bytes:
    """The content of a file that `append` made.

    Raises:
        IntegrityError: It is altered or cut.
        MissingError: There is no such file.
        StorageError: It can't be read.
    """
    with open_read(path) as file:
        content, _, told = file.read().rpartition(b"\n")
    if (found := _sha256(content)) != told:
        raise IntegrityError(
            f"{path!r} is damaged: it has sha256 {found.decode()}, its last line says {told[:64]!r}; remove it, and "
            "the same command makes it again, or restore it from a copy"
        )
    return content


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
