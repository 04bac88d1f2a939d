"""A file that is written bit by bit and named by what it came to hold."""

import io
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from storage import commit
from storage.commit import Committed
from storage.paths import join

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class HashedFile(io.BufferedIOBase):
    """Like `write_hashed`, for a writer that lives longer than one call: `stem.<16 hex of sha256>suffix` in `folder`.

    A context manager. Without `commit` nothing is left behind.
    """

    def __init__(self, folder: str, stem: str, suffix: str) -> None:
        """Opens the temporary file.

        Raises:
            StorageError: the store refuses.
        """
        super().__init__()
        self._folder, self._stem, self._suffix = folder, stem, suffix
        self._stack = ExitStack()
        self._file, self._sink = self._stack.enter_context(commit.opened(join(folder, stem + suffix)))

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: "ReadableBuffer") -> int:
        """Appends bytes.

        Raises:
            StorageError: no room.
        """
        return self._sink.write(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._sink.tell()

    def commit(self) -> Committed:
        """Gives the file its name; it stands whole from then on.

        Raises:
            StorageError: no room, or the store refuses.
        """
        committed = commit.finish(self._folder, self._stem, self._suffix, self._file, self._sink)
        self.discard()
        return committed

    def discard(self) -> None:
        """Removes what was not committed."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)
