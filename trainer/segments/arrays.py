"""One array of a segment, mapped where it is local, by blocks where it is remote; the blocks touched are checked."""

import io
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.segments import BLOCK_BYTES
from storage import stores
from trainer.segments.blocks import Checked, Ints, touched
from trainer.segments.cache import BlockCache

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Array(Protocol):
    """What `Segments` reads from."""

    path: str
    size: int
    """Elements."""

    def gather(self, starts: Ints, stops: Ints) -> tuple[NDArray[Any], Ints]:
        """Elements of the ranges [start, stop), every block under them checked.

        Returns:
            A flat array, and where in it each range begins.

        Raises:
            IntegrityError: A block is not what was sealed.
        """


class LocalArray:
    """Memory-mapped: what it gives out are views of the file."""

    def __init__(self, checked: Checked, dtype: np.dtype[Any]) -> None:
        self._checked, self._dtype = checked, dtype
        with stores.told("read", checked.path):
            self._bytes: NDArray[np.uint8] = (
                np.memmap(stores.local(checked.path), np.uint8, "r") if checked.size else np.zeros(0, np.uint8)
            ).view(np.ndarray)
        self._flat = self._bytes.view(dtype)
        self.path, self.size = checked.path, len(self._flat)

    def gather(self, starts: Ints, stops: Ints) -> tuple[NDArray[Any], Ints]:
        """See `Array`."""
        checked = self._checked
        if not checked.all_sound:
            for block in checked.unchecked(touched(starts, stops, self._dtype.itemsize, checked.blocks)):
                start, stop = checked.span(block)
                checked.check(block, self._bytes.data[start:stop])
        return self._flat, starts


class RemoteArray:
    """By ranged reads: what it gives out are copies."""

    def __init__(self, checked: Checked, dtype: np.dtype[Any], cache: BlockCache) -> None:
        self._checked, self._dtype, self._cache = checked, dtype, cache
        self.path, self.size = checked.path, checked.size // dtype.itemsize

    def gather(self, starts: Ints, stops: Ints) -> tuple[NDArray[Any], Ints]:
        """See `Array`."""
        size = self._dtype.itemsize
        wanted = np.flatnonzero(touched(starts, stops, size, self._checked.blocks))
        blocks = self._cache.blocks(self._checked, wanted.tolist())
        lengths = stops - starts
        ends = np.cumsum(lengths)
        flat = np.empty(int(lengths.sum()) * size, np.uint8)
        at = 0
        for start, stop in zip((starts * size).tolist(), (stops * size).tolist(), strict=True):
            while start < stop:
                block, offset = divmod(start, BLOCK_BYTES)
                step = min(BLOCK_BYTES - offset, stop - start)
                flat[at : at + step] = blocks[block][offset : offset + step]
                at, start = at + step, start + step
        flat.flags.writeable = False  # as a local one is not
        return flat.view(self._dtype), ends - lengths


class ArrayFile(io.RawIOBase):
    """An array of bytes as a file: what is read of it was checked."""

    def __init__(self, array: Array) -> None:
        super().__init__()
        self._array, self._at = array, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._array.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        stop = max(self._at, min(self._at + len(view), self._array.size))
        flat, (at,) = self._array.gather(np.array([self._at]), np.array([stop]))
        size = stop - self._at
        view[:size] = flat[at : at + size].data
        self._at = stop
        return size
