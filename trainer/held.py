"""A file's bytes in a temporary file of ours: what was hashed is what is read, whoever writes to the file meanwhile."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from storage.commit import Hashing

_CHUNK = 2**20


@contextmanager
def held(file: BinaryIO) -> Iterator[tuple[BinaryIO, str, int]]:
    """What is left of an open file, read once: a copy that stands at its start, its sha256, and how many bytes."""
    with tempfile.TemporaryFile(prefix="gristmill-") as copy:
        sink = Hashing(cast(BinaryIO, copy))
        while data := file.read(_CHUNK):
            sink.write(data)
        copy.seek(0)
        yield cast(BinaryIO, copy), sink.sha256, sink.count
