"""A file's bytes by absolute position: what framing, look-ahead and resynchronisation need, in bounded memory."""

import io
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes asked of the file at once."""


class Window:
    """Reads forward through a seekable file and hands out bytes by their position in it.

    It holds what was last asked for plus at most one block, so going back further than that costs a seek.

    Args:
      handle: a seekable binary file, or anything with `seek` and `read`.
      block: bytes to ask of it at once.
    """

    def __init__(self, handle: BinaryIO, block: int = BLOCK) -> None:
        self._handle = handle
        self._block = block
        self._base = 0
        self._data = b""
        self._at: int | None = None  # where the file stands, None where that is not known
        self._size: int | None = None  # once its end was seen

    def view(self, position: int, size: int) -> memoryview:
        """Up to `size` bytes from `position` on; fewer only where the file ends."""
        begin = position - self._base
        if begin < 0 or begin + size > len(self._data):
            self._fill(position, size)
            begin = 0
        return memoryview(self._data)[begin : begin + size]

    def find(self, needle: bytes, position: int, end: int) -> int:
        """Where `needle` first starts within [position, end), or -1."""
        while position < end:
            view = self.view(position, min(self._block, end - position + len(needle) - 1))
            if len(view) < len(needle):
                return -1
            begin = position - self._base
            found = self._data.find(needle, begin, begin + len(view))
            if found >= 0:
                return found + self._base
            position += len(view) - len(needle) + 1
        return -1

    def _fill(self, position: int, size: int) -> None:
        begin = position - self._base
        parts = [self._data[begin:]] if 0 <= begin < len(self._data) else []
        have = sum(map(len, parts))
        if self._at != position + have:
            self._handle.seek(position + have)
        while have < size:
            part = self._handle.read(max(self._block, size - have))
            if not part:
                self._size = position + have if have else self._size
                break
            parts.append(part)
            have += len(part)
        self._data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._base, self._at = position, position + have

    def size(self) -> int:
        """The file's size."""
        if self._size is None:
            self._size = self._handle.seek(0, io.SEEK_END)
            self._at = None
        return self._size
