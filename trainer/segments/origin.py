"""What segments are made from: data cut into units that don't depend on each other, each a stream of documents."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trainer.corpus import Corpus
from trainer.tokenizer.tokenizer import Tokenizer

Kind = Literal["text", "chat", "preference"]
_TOGETHER = 256
"""Made texts of a chunk."""
_OWN = ("text", "bytes", "id_hash", "targets")
"""Columns that segments have of their own, or not at all."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some documents, encoded."""

    tokens: list[NDArray[Any]]
    masks: list[NDArray[np.uint8]] | None
    columns: pa.Table
    """A row a document: `id`, `bytes`, and what the data has besides."""


class Origin(Protocol):
    """Data, in units. Pickles, so that processes can share the work."""

    @property
    def kind(self) -> Kind:
        """Of its documents."""

    @property
    def place(self) -> str:
        """Where it lies, for errors."""

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of all that decides what each unit gives, wherever it lies."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each unit."""

    def chunks(self, unit: int, tokenizer: Tokenizer, start: int) -> Iterator[Chunk]:
        """The documents of a unit from row `start` on."""


class TextOrigin:
    """A curated folder; its shards are the units."""

    kind: Kind = "text"

    def __init__(self, folder: str) -> None:
        self._corpus = Corpus(folder)
        self.place = folder
        self.digests = tuple(shard.sha256 for shard in self._corpus.shards)
        self.sizes = tuple(shard.bytes for shard in self._corpus.shards)

    def chunks(self, unit: int, tokenizer: Tokenizer, start: int) -> Iterator[Chunk]:
        """See `Origin`.

        Raises:
            IntegrityError: The shard is missing, or is not the one that the manifest names.
            TrainerError: Its `text` or `id` is missing, stands twice or holds no words.
        """
        for batch in self._corpus.rows(self._corpus.shards[unit], start=start):
            yield encoded(batch, tokenizer)


class MadeTexts:
    """Texts that a generator made; one unit."""

    kind: Kind = "text"

    def __init__(self, texts: Sequence[str], place: str) -> None:
        self.place = place
        self._texts = tuple(texts)
        self.digests = (sha256((place, self._texts)),)
        self.sizes = (sum(map(len, self._texts)),)

    def chunks(self, unit: int, tokenizer: Tokenizer, start: int) -> Iterator[Chunk]:
        """See `Origin`."""
        names = [f"{self.place}, {n}" for n in range(len(self._texts))]
        made = pa.record_batch({"id": names, "text": pa.array(self._texts, pa.string())})
        for first in range(start, len(made), _TOGETHER):
            yield encoded(made.slice(first, _TOGETHER), tokenizer)


def sha256(value: object) -> str:
    """Of nested tuples of plain values."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def encoded(batch: pa.RecordBatch, tokenizer: Tokenizer) -> Chunk:
    """Encodes the texts of a batch; what else it has becomes the documents' columns.

    A text that is null counts as empty: its document is what the tokenizer makes of no text.

    Args:
        batch: As `Corpus.rows` gives it.
        tokenizer: Encodes it.
    """
    texts = pc.fill_null(batch["text"], "")
    columns = {name: batch[name] for name in batch.schema.names if name not in _OWN}
    columns["bytes"] = pc.binary_length(texts).cast(pa.int64())
    return Chunk(tokenizer.encode_documents(texts.to_pylist()), None, pa.table(columns))
