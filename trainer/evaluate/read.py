"""Texts and questions to evaluate on: JSONL, and the shards of a curated folder."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from xxhash import xxh3_64_intdigest

from storage.paths import exists, join
from trainer.chat.jsonl import Row, rows
from trainer.corpus import MANIFEST, Corpus
from trainer.errors import TrainerError
from trainer.evaluate.bits_per_byte import Text
from trainer.evaluate.multiple_choice import Question
from trainer.plan.shares import is_held_out


def texts(path: str, held_out: float = 1.0) -> Iterator[Text]:
    """Texts, each with its `language` and the host of its `url` where it has them.

    Args:
      path: JSONL with a `text` a line, or a curated folder.
      held_out: Of a curated folder, only the documents that a recipe with this `held_out` trains on nowhere; 1: all.

    Raises:
      TrainerError: A line that is no JSON object with a `text`, a shard without; it says where. Or a share is asked of
        what is no curated folder.
      IntegrityError: A shard is missing, or is not the one that the manifest names.
    """
    if exists(join(path, MANIFEST)):
        yield from _documents(Corpus(path), held_out)
        return
    if held_out < 1:
        raise TrainerError(
            f"held_out {held_out!r} takes a share of a curated folder, and {path!r} is none; leave it out, or give the "
            "folder that a recipe with this held_out was trained on"
        )
    for row in _rows(path):
        yield _text(row.value, row.where)


def _documents(corpus: Corpus, held_out: float) -> Iterator[Text]:
    for shard in corpus.shards:
        where = join(corpus.folder, shard.path)
        for batch in corpus.rows(shard, words=("language", "url")):
            found = batch.to_pylist()
            hashes = [xxh3_64_intdigest(row["id"].encode()) for row in found]
            for n in np.flatnonzero(is_held_out(np.array(hashes, np.uint64), held_out)):
                yield _text(found[n], where)


def _text(row: dict[str, Any], where: str) -> Text:
    text, language, url = row.get("text"), row.get("language"), row.get("url")
    if not isinstance(text, str):
        raise TrainerError(f"{where}: 'text' is {text!r}, words were expected")
    groups = {
        "language": language if isinstance(language, str) else "",
        "domain": _host(url) if isinstance(url, str) else "",
    }
    return Text(text, groups)


def questions(path: str) -> list[Question]:
    """A multiple-choice question a line: `question`, `choices`, `answer` (number of the right one, from 0).

    Raises:
      TrainerError: A line that is none; it says where.
    """
    found = []
    for row in _rows(path):
        line = row.value
        question, choices, answer = line.get("question"), line.get("choices"), line.get("answer")
        if not (isinstance(question, str) and isinstance(choices, list) and type(answer) is int):
            raise TrainerError(
                f'{row.where}: {{"question": …, "choices": […], "answer": 0}} was expected, not {line!r}'
            )
        try:
            found.append(Question(question, tuple(map(str, choices)), answer))
        except TrainerError as error:
            raise TrainerError(f"{row.where}: {error}") from error
    return found


def _rows(path: str) -> Iterator[Row]:
    """Every line's object; half a surrogate pair, which JSON can write and UTF-8 can't, is an error."""
    for row in rows(path):
        try:
            json.dumps(row.value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise TrainerError(f"{row.where}: half a surrogate pair, which is no text: {error}") from error
        yield row


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
