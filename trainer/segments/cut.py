"""Cuts a stream of documents into segments, by tokens: where the cuts are depends on the documents alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.segments.origin import Chunk
from trainer.segments.seal import Documents


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment to be sealed."""

    documents: Documents
    rows: int
    """Of the unit that it holds."""
    last: bool
    """Whether the unit ends with it."""


class _Pending:
    """What the next segment holds so far."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._tokens: list[NDArray[Any]] = []
        self._masks: list[NDArray[np.uint8]] = []
        self._tables: list[pa.Table] = []
        self.size = 0

    def add(self, chunk: Chunk, start: int, stop: int) -> None:
        """Takes documents [start, stop) of a chunk."""
        if start < stop:
            self._tokens += chunk.tokens[start:stop]
            self._masks += (chunk.masks or [])[start:stop]
            self._tables.append(chunk.columns.slice(start, stop - start))

    def sealed(self, per_row: int, last: bool) -> Cut:
        """All of it."""
        starts = np.concatenate(([0], np.cumsum([len(tokens) for tokens in self._tokens], dtype=np.int64)))
        documents = Documents(
            tokens=np.concatenate(self._tokens, dtype=self._dtype, casting="same_kind"),
            starts=starts,
            columns=pa.concat_tables(self._tables),
            mask=np.concatenate(self._masks) if self._masks else None,
        )
        return Cut(documents, len(self._tokens) // per_row, last)


def cut(chunks: Iterable[Chunk], dtype: np.dtype[Any], most_tokens: int, per_row: int = 1) -> Iterator[Cut]:
    """Yields segments of whole rows, each as full as `most_tokens` allows and at least of one row.

    Args:
        chunks: A unit's documents; how they are cut into chunks changes nothing.
        dtype: Of the tokens.
        most_tokens: A segment has more only where a single row has.
        per_row: Documents of a row of the unit (2 of a preference), which stay together.
    """
    pending = _Pending(dtype)
    for chunk in chunks:
        begin = 0
        for at in range(0, len(chunk.tokens), per_row):
            row = sum(len(tokens) for tokens in chunk.tokens[at : at + per_row])
            if pending.size and pending.size + row > most_tokens:
                pending.add(chunk, begin, at)
                yield pending.sealed(per_row, last=False)
                pending, begin = _Pending(dtype), at
            pending.size += row
        pending.add(chunk, begin, len(chunk.tokens))
    if pending.size:
        yield pending.sealed(per_row, last=True)
