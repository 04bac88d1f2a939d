"""Data and a tokenizer to segments. A unit is encoded once, whatever data holds it; a manifest is named by its data."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from schemas.segments import SegmentEntry, SegmentsManifest
from storage.commit import create_exclusive, replace_atomic, sweep_temporary
from storage.paths import exists, join
from trainer import checksum
from trainer.errors import IntegrityError, TrainerError
from trainer.segments import marks
from trainer.segments.chat_origin import ChatFiles
from trainer.segments.marks import Mark
from trainer.segments.origin import Kind, Origin, TextOrigin, sha256
from trainer.segments.read import FORMAT_VERSION, MANIFEST, Segments, check_files, read_manifest, sizes
from trainer.segments.work import Job, seal_units
from trainer.tokenizer.tokenizer import TOKENIZER, Tokenizer

SEGMENT_TOKENS = 64 * 10**6
"""Tokens of a segment at most: 128 or 256 MB of ids."""

_READERS = 16
"""Requests for marks in flight: most of a folder that has grown are read over a network."""
_DEAD_S = 3600.0
"""Temporary files that nobody wrote to for so long are a killed process's; others may be at work in the folder."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is; what earlier calls sealed counts."""

    units: int
    """Shards or files that are finished; equal ones are one."""
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
    """Makes the segments of some data, or goes on with them, or finds them finished.

    Shards and files that were sealed for other data, by the same tokenizer, are taken over: of a folder that has grown,
    what is new is encoded. The bytes depend on the data, the tokenizer and `segment_tokens` alone. Several processes,
    on several machines that share the folder, may be at it at once. Killed, the same call goes on behind the last
    sealed segment. Sealed files that are gone, or of another size, are made again; others are checked where they are
    read.

    Args:
        data: A curated folder (text), or a JSONL file or folder of such (chat, preference).
        kind: What the data is.
        tokenizer: Encodes it.
        folder_of_folders: Where segments are kept, local or on an object store.
        workers: Processes; None for as many as there are cores and work worth it.
        progress: Told as it goes on.
        segment_tokens: Of a segment, at most.
        answers_only: Of chat, whether only what the assistant says may be a target.

    Returns:
        The folder of the manifest: `folder_of_folders/<key>`.

    Raises:
        IntegrityError: A shard is missing, or is not the one that its manifest names; or the manifest of segments that
            were finished, or a mark, is damaged.
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
    encoding = _encoding(origin, tokenizer, segment_tokens)
    data = sha256(origin.digests)
    key = sha256((encoding, data))[:32]
    folder, files = join(folder_of_folders, key), join(folder_of_folders, encoding)
    if exists(join(folder, MANIFEST)) and _is_whole(folder):
        return folder
    create_exclusive(join(files, TOKENIZER), tokenizer.json)
    first = {digest: n for n, digest in reversed(tuple(enumerate(origin.digests)))}
    units = sorted(first.values())
    sealed, lost = _standing(files, origin, units)
    job = Job(
        origin=origin,
        folder=files,
        lost=frozenset(lost),
        most_tokens=segment_tokens,
        per_row=2 if origin.kind == "preference" else 1,
    )
    left = [unit for unit in units if unit in lost or not _is_finished(sealed[unit])]
    done = [sealed[unit] for unit in units if unit not in lost]
    state = Progress(len(units) - len(left), len(units), *_counts(done))

    def report(done: int, documents: int, tokens: int) -> None:
        nonlocal state
        state = replace(
            state, units=state.units + done, documents=state.documents + documents, tokens=state.tokens + tokens
        )
        if progress:
            progress(state)

    report(0, 0, 0)
    # processes that began together start at different units, so that they share the work instead of doubling it
    turn = os.getpid() % max(len(left), 1)
    seal_units(job, left[turn:] + left[:turn], tokenizer, workers, report)
    sealed |= _marks(files, origin, left)
    manifest = SegmentsManifest(
        key=key,
        encoding=encoding,
        kind=origin.kind,
        data=origin.place,
        data_sha256=data,
        tokenizer_sha256=tokenizer.sha256,
        segments=_segments(sealed[first[digest]] for digest in origin.digests),
    )
    if not manifest.segments:
        raise TrainerError(f"{origin.place!r} holds no document to tokenize; give data that does")
    replace_atomic(join(folder, MANIFEST), checksum.append(manifest.model_dump_json(indent=1).encode()))
    for place in (folder, files, join(files, marks.FOLDER)):
        sweep_temporary(place, idle_s=_DEAD_S)
    return folder


def _origin(data: str, kind: Kind, answers_only: bool) -> Origin:
    return TextOrigin(data) if kind == "text" else ChatFiles(data, kind, answers_only or kind == "preference")


def _encoding(origin: Origin, tokenizer: Tokenizer, segment_tokens: int) -> str:
    """32 hex digits of all that decides the bytes of a unit's segments, but for the unit."""
    parts = (
        *(FORMAT_VERSION, origin.kind, tokenizer.sha256, sorted(tokenizer.special), tokenizer.bos_id, tokenizer.eos_id),
        *("" if origin.kind == "text" else tokenizer.chat_template, segment_tokens),
    )
    return sha256(parts)[:32]


def _is_whole(folder: str) -> bool:
    """Whether a finished folder's sealed files are there.

    Raises:
        IntegrityError: Its manifest is damaged: told, not made again unseen.
    """
    segments = Segments(folder, read_manifest(folder))
    try:
        segments.check_sizes()
    except IntegrityError:
        return False
    return True


def _standing(files: str, origin: Origin, units: list[int]) -> tuple[dict[int, list[Mark]], set[int]]:
    """The marks of each unit, and the units of whose marked files one is missing or of another size."""
    sealed = _marks(files, origin, units)
    there = sizes(files)  # after the marks, so that what they name is in it
    return sealed, {unit for unit in units if not _is_there(files, there, sealed[unit])}


def _is_there(files: str, there: Mapping[str, int], found: list[Mark]) -> bool:
    try:
        check_files(files, there, _segments([found]))
    except IntegrityError:
        return False
    return True


def _marks(files: str, origin: Origin, units: list[int]) -> dict[int, list[Mark]]:
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(marks.standing, itertools.repeat(files), [origin.digests[unit] for unit in units])
        return dict(zip(units, found, strict=True))


def _is_finished(found: list[Mark]) -> bool:
    return bool(found) and found[-1].last


def _segments(sealed: Iterable[list[Mark]]) -> tuple[SegmentEntry, ...]:
    return tuple(mark.segment for found in sealed for mark in found if mark.segment)


def _counts(sealed: Iterable[list[Mark]]) -> tuple[int, int]:
    """Documents and tokens."""
    entries = _segments(sealed)
    return sum(entry.documents for entry in entries), sum(entry.tokens for entry in entries)
