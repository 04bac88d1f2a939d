"""Several folders of segments as one, their segments numbered through."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.segments.read import Segments


class Library:
    """The segments of a run: folder after folder, all by one tokenizer.

    Raises:
        TrainerError: Two folders were made by different tokenizers.
    """

    def __init__(self, folders: Sequence[Segments]) -> None:
        self.folders = tuple(folders)
        self._firsts = [0]
        for folder in self.folders:
            self._firsts.append(self._firsts[-1] + len(folder.manifest.segments))
            if folder.manifest.tokenizer_sha256 != self.folders[0].manifest.tokenizer_sha256:
                raise TrainerError(
                    f"{folder.folder!r} was tokenized by tokenizer {folder.manifest.tokenizer_sha256[:16]}…, "
                    f"{self.folders[0].folder!r} by {self.folders[0].manifest.tokenizer_sha256[:16]}…; "
                    "tokenize all data of a run with one tokenizer"
                )

    def __len__(self) -> int:
        """Segments of all folders."""
        return self._firsts[-1]

    def number(self, folder: int, i: int) -> int:
        """The number of segment `i` of a folder."""
        return self._firsts[folder] + i

    def place(self, number: int) -> tuple[Segments, int]:
        """The folder of a segment, and its index there.

        Raises:
            IndexError: There is no such segment.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"there is no segment {number:,} among {len(self):,}")
        folder = bisect_right(self._firsts, number) - 1
        return self.folders[folder], number - self._firsts[folder]

    def read(self, number: int, array: str, start: int, stop: int) -> NDArray[Any]:
        """As `Segments.read`."""
        folder, i = self.place(number)
        return folder.read(i, array, start, stop)

    def starts(self, number: int) -> NDArray[np.int64]:
        """As `Segments.starts`."""
        folder, i = self.place(number)
        return folder.starts(i)

    def has_mask(self, number: int) -> bool:
        """As `Segments.has_mask`."""
        folder, i = self.place(number)
        return folder.has_mask(i)

    def rest(self, wait_s: float = 0.0) -> None:
        """Ends the threads that fetch remote blocks; the next read starts new ones."""
        for cache in {id(folder.cache): folder.cache for folder in self.folders}.values():
            cache.rest(wait_s)
