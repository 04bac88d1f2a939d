"""Sift: one task's pages, or the documents of the level before, through a level's document stages.

Writes the documents that go on, ledger rows of those that do not, signals, and sampled dropped texts; all in bounded
memory. Everything that touches a page's content runs in the supervised child; this side only reads records.
"""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from curation.child import Died
from curation.documents import TableWriter, read_documents, to_row
from curation.jobs import InputError, Job, Marker
from curation.judged import Judged, NewTask, Sealed
from curation.keep import Kept
from curation.ledger import ledger_row
from curation.readers.base import Reader
from curation.readers.registry import open_task
from curation.supervised import DEFAULT_LIMITS, Limits, SupervisedPhase
from curation.tally import Tally
from schemas.recipe import Sample
from schemas.records import Document, Page
from schemas.tables import DOCS, DROPPED_TEXT, LEDGER, signals
from schemas.tasks import Task
from storage.commit import replace_atomic
from storage.paths import is_local, join

CHILD_STAGE = "child"
"""The stage that a ledger row names where the page killed its worker or met a limit."""

HEARTBEAT_SECONDS = 1.0


@dataclass
class Sift(SupervisedPhase):
    """The phase. `signal_names` are the columns that this level can measure."""

    folder: str
    build: Sealed
    """Builds a `curation.judge.Judge`."""
    sample: Sample
    seed: int
    from_input: bool
    signal_names: tuple[str, ...]
    limits: Limits = DEFAULT_LIMITS
    heartbeats: str = ""
    """A local folder in which tasks under way say how far they are; empty for none."""
    name: str = "sift"

    def run(self, job: Job) -> Marker:
        """One task. See `Phase.run`."""
        task = Task.from_json(job.payload["task"])
        kept = Kept.from_json(job.payload["kept"]) if job.payload.get("kept") else None
        reader: Reader | None = None
        if self.from_input:
            reader = open_task(task)
            items: Iterator[Page | Document] = _pages(reader, kept)
        else:
            assert kept is not None, "a level that reads documents follows another"
            items = read_documents(kept.docs, *kept.mask_and_sizes())
        retries_before = Counter(self.child.retries)
        with ExitStack() as stack:
            out = _TaskFiles(self, job, stack)
            for item, judged in self.child.map(chain((NewTask(),), items)):
                if not isinstance(item, NewTask):
                    out.add(item, judged)
            facts = out.facts() | {"retries": dict(Counter(self.child.retries) - retries_before)}
            if reader is not None:
                facts |= {"first": reader.first, "end": reader.end}
                facts |= {"skipped": dict(reader.skipped), "faults": dict(reader.faults)}
            return Marker(job.id, out.commit(), facts)


def _pages(reader: Reader, kept: Kept | None) -> Iterator[Page]:
    """The task's pages; of those, only the ones that the level before kept."""
    offsets = None if kept is None else set(kept.offsets().tolist())
    try:
        for page in reader:
            if offsets is None or page.offset in offsets:
                yield page
    except OSError as error:
        raise InputError(str(error)) from error


class _TaskFiles:
    """A task's files, and what it counts along the way."""

    def __init__(self, sift: Sift, job: Job, stack: ExitStack) -> None:
        def table(what: str, schema: Any) -> TableWriter:
            return stack.enter_context(TableWriter(sift.folder, f"{job.id}.{what}", schema))

        self._docs = table("docs", DOCS)
        self._ledger = table("ledger", LEDGER)
        self._signals = table("signals", signals(sift.signal_names))
        self._dropped = table("dropped", DROPPED_TEXT)
        self._all_signals = sift.sample.signals == "all"
        self._tally = Tally(seed=sift.seed, examples=sift.sample.examples_per_reason)
        self._beat = _Heartbeat(sift.heartbeats, job.id)
        self._pages = 0

    def add(self, item: Page | Document, judged: Judged | Died) -> None:
        self._pages += 1
        if isinstance(judged, Died):
            judged = Judged(None, CHILD_STAGE, judged.reason, judged.value, judged.threshold)
        if judged.kept:
            assert judged.doc is not None, "what goes on has a document"
            self._docs.add(to_row(judged.doc), len(judged.doc.text) * 2 + 500)
        else:
            self._add_dropped(item, judged)
        if judged.signals and (judged.kept or judged.sampled or self._all_signals):
            head = {"id": item.id, "path": item.path, "offset": item.offset, "sampled": judged.sampled}
            self._signals.add({**head, **judged.signals})
        self._beat.at(self._pages, self._docs.rows)

    def _add_dropped(self, item: Page | Document, judged: Judged) -> None:
        self._ledger.add(ledger_row(item, judged))
        text = judged.dropped_text
        doc = judged.doc or Document("")
        self._tally.add_dropped(
            judged.stage,
            judged.reason,
            id=item.id,
            url=item.url,
            value=judged.value,
            threshold=judged.threshold,
            language=doc.language,
            text=text or "",
            characters=judged.characters,
            language_score=doc.language_score if doc.language else None,
            quality_score=doc.quality_score,
            cluster_size=doc.cluster_size,
        )
        if text is not None:
            row = {"id": item.id, "url": item.url, "path": item.path, "offset": item.offset, "stage": judged.stage}
            row |= {"reason": judged.reason, "value": judged.value, "threshold": judged.threshold, "text": text}
            self._dropped.add(row, len(text) * 2 + 300)

    def facts(self) -> dict[str, Any]:
        return {
            "pages": self._pages,
            "survived": self._docs.rows,
            "dropped": self._ledger.rows,
            "tally": self._tally.to_json(),
        }

    def commit(self) -> dict[str, Any]:
        self._beat.end()
        tables = {"docs": self._docs, "ledger": self._ledger, "signals": self._signals, "dropped": self._dropped}
        return {what: table.commit() for what, table in tables.items()}


class _Heartbeat:
    """Says once a second, in a small file, how far a task is. Only for people: nothing depends on it."""

    def __init__(self, folder: str, job_id: str) -> None:
        self._path = (
            join(folder, f"{job_id}.{socket.gethostname()}.{os.getpid()}") if folder and is_local(folder) else ""
        )
        self._next = 0.0

    def at(self, pages: int, kept: int) -> None:
        now = time.monotonic()
        if self._path and now >= self._next:
            self._next = now + HEARTBEAT_SECONDS
            replace_atomic(self._path, json.dumps({"pages": pages, "kept": kept}).encode())

    def end(self) -> None:
        if self._path and self._next:
            Path(self._path).unlink(missing_ok=True)
