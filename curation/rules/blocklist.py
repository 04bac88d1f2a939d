"""Block lists in memory: millions of domains in eight bytes each, words normalised as the URL filter compares them."""

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from storage.commit import replace_atomic, sha256_file
from storage.registry import cache_folder

__all__ = ["HashedLines", "ListError", "alphanumerics", "parts", "read_lines", "read_words"]

_CHUNK = 1 << 22
_OTHER = re.compile(r"[^a-zA-Z0-9]+")


class ListError(ValueError):
    """A list that can't be used: what is wrong, in which file, and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class HashedLines:
    """A set of strings, kept as their sorted 64-bit hashes.

    Python's own set takes some 120 bytes a domain: 530 MB for the 4.6 million of UT1, where a sift worker may use
    1,200 MB in all. With n entries a string that is none of them is found with probability n / 2^64: 2.5e-13 for UT1.
    """

    hashes: NDArray[np.uint64]
    """XXH3 of the UTF-8 bytes, shape (n,), sorted."""

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Hashes `entries`, which may be a generator: they are never held at once."""
        hashed = np.fromiter((xxhash.xxh3_64_intdigest(_bytes(entry)) for entry in entries), np.uint64)
        hashed.sort()
        return cls(hashed)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The entries of a list; their hashes are kept beside the models, and shared by all who read them there.

        Hashing UT1's domains takes 3 s, mapping what was hashed before none.

        Raises:
          ListError: the list can't be read.
        """
        kept = cache_folder() / "hashed" / f"{sha256_file(str(path))[:32]}.npy"
        with suppress(OSError, ValueError):  # missing, or damaged: made again
            return cls(np.load(kept, mmap_mode="r"))
        made = cls.of(read_lines(path))
        with suppress(OSError):  # a cache that can't be written costs time only
            data = io.BytesIO()
            np.save(data, made.hashes)
            replace_atomic(str(kept), data.getvalue())
        return made

    def __contains__(self, entry: str) -> bool:
        value = np.uint64(xxhash.xxh3_64_intdigest(_bytes(entry)))
        at = int(np.searchsorted(self.hashes, value))
        return at < self.hashes.size and bool(self.hashes[at] == value)

    def __len__(self) -> int:
        return int(self.hashes.size)


def _bytes(entry: str) -> bytes:
    return entry.encode("utf-8", "surrogatepass")


def read_lines(path: Path) -> Iterator[str]:
    """The entries of a list: one a line, white space around it stripped, `#` in the first column begins a comment.

    Raises:
      ListError: the file can't be read or is no UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as file:
            while chunk := file.readlines(_CHUNK):
                yield from (entry for line in chunk if not line.startswith("#") and (entry := line.strip()))
    except OSError as error:
        raise ListError(f"the list {str(path)!r} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ListError(f"the list {str(path)!r} is no UTF-8 text: {error}; convert it, one entry a line") from error


def read_words(path: Path) -> Iterator[str]:
    """The entries of a word list as `alphanumerics` makes them.

    Raises:
      ListError: also for an entry without any ASCII letter or digit, which no URL could ever match.
    """
    for entry in read_lines(path):
        word = alphanumerics(entry)
        if not word:
            raise ListError(
                f"the word list {str(path)!r} has the entry {entry!r}, which holds no ASCII letter or digit: "
                f"URLs are compared by those alone, so it would never match; leave it out"
            )
        yield word


def alphanumerics(text: str) -> str:
    """The ASCII letters and digits of a text, in lower case and joined."""
    return _OTHER.sub("", text).lower()


def parts(text: str) -> frozenset[str]:
    """The runs of ASCII letters and digits in a text, their case kept."""
    return frozenset(_OTHER.split(text))
