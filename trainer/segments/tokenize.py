"""Data and a tokenizer to a folder of segments, named by what it is made from: made once, shared by all runs."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from schemas.segments import SegmentsManifest
from storage.commit import create_exclusive, sweep_temporary
from storage.paths import exists, join
from trainer.errors import TrainerError
from trainer.segments import marks
from trainer.segments.chat_origin import ChatFiles
from trainer.segments.marks import Mark
from trainer.segments.origin import Kind, Origin, TextOrigin
from trainer.segments.read import FORMAT_VERSION, MANIFEST
from trainer.segments.work import Job, seal_units
from trainer.tokenizer.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
SEGMENT_TOKENS = 64 * 10**6
"""Tokens of a segment at most: 128 or 256 MB of ids."""

_DEAD_S = 3600.0
"""Temporary files that nobody wrote to for so long are a killed process's; others may be at work in the folder."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is; what earlier calls sealed counts."""

    units: int
    """Shards or files that are finished."""
    of: int
    documents: int
    tokens: int


def tokenize(
    data: str,
    kind: Kind,
    tokenizer: Tokenizer,
    folder_of_folders: str,
    *,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    segment_tokens: int = SEGMENT_TOKENS,
    answers_only: bool = True,
) -> str:
    """Makes the folder of segments of some data, or goes on with it, or finds it finished.

    The bytes depend on the data, the tokenizer and `segment_tokens` alone. Several processes, on several machines that
    share the folder, may be at it at once. Killed, the same call goes on behind the last sealed segment.

    Args:
        data: A curated folder (text), or a JSONL file or folder of such (chat, preference).
        kind: What the data is.
        tokenizer: Encodes it.
        folder_of_folders: Where folders of segments are kept, local or on an object store.
        workers: Processes; None for as many as there are cores and work worth it.
        progress: Told as it goes on.
        segment_tokens: Of a segment, at most.
        answers_only: Of chat, whether only what the assistant says may be a target.

    Returns:
        The folder: `folder_of_folders/<key>`.

    Raises:
        IntegrityError: A shard is missing, or is not the one that its manifest names.
        TrainerError: The data can't be; or a process died.
        StorageError: No room, or a store refuses.
    """
    return make(
        _origin(data, kind, answers_only),
        tokenizer,
        folder_of_folders,
        workers=workers,
        progress=progress,
        segment_tokens=segment_tokens,
    )


def make(
    origin: Origin,
    tokenizer: Tokenizer,
    folder_of_folders: str,
    *,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    segment_tokens: int = SEGMENT_TOKENS,
) -> str:
    """As `tokenize`, for any origin."""
    key = _key(origin, tokenizer, segment_tokens)
    folder = join(folder_of_folders, key)
    if exists(join(folder, MANIFEST)):
        return folder
    create_exclusive(join(folder, TOKENIZER), tokenizer.json)
    job = Job(origin=origin, folder=folder, most_tokens=segment_tokens, per_row=2 if origin.kind == "preference" else 1)
    units = range(len(origin.sizes))
    sealed = [marks.standing(folder, unit) for unit in units]
    state = Progress(0, len(units), *_counts(sealed))

    def told(done: int, documents: int, tokens: int) -> None:
        nonlocal state
        state = replace(
            state, units=state.units + done, documents=state.documents + documents, tokens=state.tokens + tokens
        )
        if progress:
            progress(state)

    left = [unit for unit in units if not (sealed[unit] and sealed[unit][-1].last)]
    told(len(units) - len(left), 0, 0)
    # processes that began together start at different units, so that they share the work instead of doubling it
    turn = os.getpid() % max(len(left), 1)
    seal_units(job, left[turn:] + left[:turn], tokenizer, workers, told)
    manifest = _manifest(origin, tokenizer, key, [marks.standing(folder, unit) for unit in units])
    create_exclusive(join(folder, MANIFEST), manifest.model_dump_json(indent=1).encode())
    for place in (folder, join(folder, marks.FOLDER)):
        sweep_temporary(place, idle_s=_DEAD_S)
    return folder


def _origin(data: str, kind: Kind, answers_only: bool) -> Origin:
    return TextOrigin(data) if kind == "text" else ChatFiles(data, kind, answers_only or kind == "preference")


def _key(origin: Origin, tokenizer: Tokenizer, segment_tokens: int) -> str:
    """32 hex digits of all that decides the folder's bytes."""
    parts = {
        "format": FORMAT_VERSION,
        "kind": origin.kind,
        "data": origin.sha256,
        "tokenizer": tokenizer.sha256,
        "bos": tokenizer.bos_id,
        "eos": tokenizer.eos_id,
        "template": "" if origin.kind == "text" else tokenizer.chat_template,
        "segment_tokens": segment_tokens,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _counts(sealed: list[list[Mark]]) -> tuple[int, int]:
    """Documents and tokens."""
    entries = [mark.segment for unit in sealed for mark in unit if mark.segment]
    return sum(entry.documents for entry in entries), sum(entry.tokens for entry in entries)


def _manifest(origin: Origin, tokenizer: Tokenizer, key: str, sealed: list[list[Mark]]) -> SegmentsManifest:
    segments = tuple(mark.segment for unit in sealed for mark in unit if mark.segment)
    if not segments:
        raise TrainerError(f"{origin.place!r} holds no document to tokenize; give data that does")
    return SegmentsManifest(
        key=key,
        kind=origin.kind,
        data=origin.place,
        data_sha256=origin.sha256,
        tokenizer_sha256=tokenizer.sha256,
        segments=segments,
    )
