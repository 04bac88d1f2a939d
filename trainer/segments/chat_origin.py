"""Conversations and preferences as documents with masks: out of files, or made by a generator."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.chat import Conversation, Message, Preference
from storage.commit import sha256_file
from trainer.chat.importers import read_conversations, read_preferences
from trainer.chat.jsonl import files
from trainer.chat.template import render
from trainer.errors import TrainerError
from trainer.segments.origin import Chunk, Kind, sha256
from trainer.tokenizer.tokenizer import Tokenizer

_TOGETHER = 256
"""Rows of a chunk."""

Item = Conversation | Preference
_Document = tuple[str, tuple[Message, ...], NDArray[Any], NDArray[np.uint8]]
"""Id, messages, and the ids and mask that they are rendered as."""


class ChatFiles:
    """JSONL files of conversations or preferences; each file is a unit. `answers_only`: what else is said has mask 0.

    Raises:
        TrainerError: There is no such file.
    """

    def __init__(self, path: str, kind: Kind, answers_only: bool = True) -> None:
        self.kind, self.place, self.answers_only = kind, path, answers_only
        found = files(path)
        self._paths = [file.path for file in found]
        self.sizes = tuple(file.size for file in found)
        self._hashes = [sha256_file(file.path) for file in found]
        names = [file.path.rpartition("/")[2] for file in found]  # ids hold them
        self.digests = tuple(
            sha256((name, content, answers_only)) for name, content in zip(names, self._hashes, strict=True)
        )

    def chunks(self, unit: int, tokenizer: Tokenizer, start: int) -> Iterator[Chunk]:
        """See `Origin`.

        Raises:
            TrainerError: A line that is no conversation or preference, or holds no answer.
            IntegrityError: The file has changed since it was named by its content.
        """
        read = read_conversations if self.kind == "chat" else read_preferences
        items = read(self._paths[unit], self._hashes[unit])
        return _chunks(itertools.islice(items, start, None), tokenizer, self.answers_only)


class Made:
    """Conversations or preferences that a generator made; one unit."""

    def __init__(self, items: Sequence[Item], kind: Kind, place: str, answers_only: bool = True) -> None:
        self.kind, self.place, self.answers_only = kind, place, answers_only
        self._items = tuple(items)
        told = [item.model_dump_json() for item in self._items]
        self.digests = (sha256((told, answers_only)),)
        self.sizes = (sum(map(len, told)),)

    def chunks(self, unit: int, tokenizer: Tokenizer, start: int) -> Iterator[Chunk]:
        """See `Origin`."""
        return _chunks(self._items[start:], tokenizer, self.answers_only)


def _chunks(items: Iterable[Item], tokenizer: Tokenizer, answers_only: bool) -> Iterator[Chunk]:
    for some in _batched(items):
        tokens: list[NDArray[Any]] = []
        masks: list[NDArray[np.uint8]] = []
        names: list[str] = []
        languages: list[str] = []
        sizes: list[int] = []
        for item in some:
            for name, messages, ids, mask in _documents(item, tokenizer):
                tokens.append(ids)
                masks.append(mask)
                names.append(name)
                languages.append(item.language)
                sizes.append(sum(len((message.reasoning_content + message.content).encode()) for message in messages))
        columns = {"id": names, "language": languages, "bytes": pa.array(sizes, pa.int64())}
        yield Chunk(tokens, masks if answers_only else None, pa.table(columns))


def _batched(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    iterator = iter(items)
    while some := list(itertools.islice(iterator, _TOGETHER)):
        yield some


def _documents(item: Item, tokenizer: Tokenizer) -> list[_Document]:
    """A conversation, or a preference's chosen and rejected ones. Of answers that are the same nothing is learnt."""
    if isinstance(item, Conversation):
        return [(item.id, item.messages, *_rendered(item, item.messages, tokenizer))]
    sides = (("chosen", (*item.prompt, item.chosen)), ("rejected", (*item.prompt, item.rejected)))
    found = [(f"{item.id}/{side}", messages, *_rendered(item, messages, tokenizer)) for side, messages in sides]
    (*_, chosen, _), (*_, rejected, _) = found
    if np.array_equal(chosen, rejected):
        return [(name, messages, ids, np.zeros_like(mask)) for name, messages, ids, mask in found]
    return found


def _rendered(item: Item, messages: Sequence[Message], tokenizer: Tokenizer) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    try:
        ids, mask = render(messages, tokenizer)
        return ids, _last_answer(item, ids, mask, tokenizer) if isinstance(item, Preference) else mask
    except TrainerError as error:
        raise TrainerError(f"{item.id!r}: {error}") from error


def _last_answer(
    item: Preference, ids: NDArray[Any], mask: NDArray[np.uint8], tokenizer: Tokenizer
) -> NDArray[np.uint8]:
    """The mask without the answers that stand in the prompt: only the two last ones are compared.

    Raises:
        TrainerError: Nothing of the last answer is to be learnt.
    """
    prompt, _ = render(item.prompt, tokenizer, answer=False)
    shared = min(len(prompt), len(ids))
    differing = np.flatnonzero(ids[:shared] != prompt[:shared])
    mask = mask.copy()
    mask[: int(differing[0]) if len(differing) else shared] = 0
    if not mask.any():
        raise TrainerError("nothing of an answer is left to compare")
    return mask
