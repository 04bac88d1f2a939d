"""What a run would cost, from a sample of its input put through the document stages: time, memory, disk, money."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import psutil

from curation.child import Died
from curation.judge import JudgeSpec
from curation.judged import Judged
from curation.readers.registry import open_task
from curation.recipe import Recipe
from curation.supervised import supervised
from schemas.records import Page
from schemas.tasks import Task

SHARD_BYTES_PER_CHARACTER = 0.45
"""Of text in zstd Parquet: .41 measured on English pages, .49 on mostly German ones, .69 on Korean ones."""

LEDGER_BYTES_PER_PAGE = 90
KEY_BYTES_PER_DOCUMENT = 224
DROPPED_SCALE = 20
"""How much more dropped texts a large run keeps than the sample of the forecast had."""

PHASE_SECONDS = 3.0
"""Start-up of a phase's workers."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Extrapolated from `pages` sampled pages that span `bytes` of the input.

    Attributes:
      pages: sampled.
      bytes: of the input that the sample spans.
      kept: of the sample, before deduplication.
      seconds: CPU seconds that the sample took, reading included.
      memory_bytes: the child's and the reader's peak.
      text_bytes: kept text, UTF-8.
      dropped_bytes: text of the sample's dropped pages that a run would keep as samples.
      total_bytes: of the whole input.
      dropped: losses of the sample, by `stage.reason`.
    """

    pages: int
    bytes: int
    kept: int
    seconds: float
    memory_bytes: int
    text_bytes: int
    dropped_bytes: int
    total_bytes: int
    phases: int
    dropped: dict[str, int]

    @property
    def scale(self) -> float:
        """Whole input to sample."""
        return self.total_bytes / self.bytes if self.bytes else 0.0

    @property
    def total_pages(self) -> int:
        """Pages in the whole input."""
        return round(self.pages * self.scale)

    def wall_seconds(self, workers: int) -> float:
        """With so many workers that are all busy."""
        return self.seconds * self.scale / workers + self.phases * PHASE_SECONDS

    @property
    def core_hours(self) -> float:
        """CPU time of the whole run."""
        return self.seconds * self.scale / 3600

    @property
    def output_bytes(self) -> int:
        """Shards, ledger, and sampled dropped texts."""
        kept = (self.text_bytes * SHARD_BYTES_PER_CHARACTER + LEDGER_BYTES_PER_PAGE * self.pages) * self.scale
        return round(kept + self._dropped_bytes)

    @property
    def _dropped_bytes(self) -> float:
        """Texts of sampled dropped pages: all of a small run's, some hundreds a reason of a large one's."""
        return self.dropped_bytes * SHARD_BYTES_PER_CHARACTER * min(self.scale, DROPPED_SCALE)

    @property
    def work_bytes(self) -> int:
        """What the phases leave: documents a level, bucket keys, provisional ledgers, samples, parts."""
        documents = self.text_bytes * SHARD_BYTES_PER_CHARACTER * 2 + KEY_BYTES_PER_DOCUMENT * self.kept
        ledgers = 2 * LEDGER_BYTES_PER_PAGE * self.pages
        return round((documents + ledgers) * self.scale + 2 * self._dropped_bytes + self.output_bytes)


def forecast(
    recipe: Recipe, files: dict[str, str], tasks: Sequence[Task], pages: int = 300, spread: int = 4
) -> Forecast:
    """Runs `pages` pages from `spread` tasks through all document stages, as if no dedup stage stood between them.

    Args:
      recipe: what would run.
      files: model or list -> sha256.
      tasks: of the whole input.
      pages: how many to sample.
      spread: from how many tasks, evenly spaced.
    """
    levels = recipe.levels()
    steps = tuple(step for level in levels for step in level.steps)
    spec = JudgeSpec(steps, recipe.sampling, recipe.seed, True, files)
    chosen = [tasks[len(tasks) * i // spread] for i in range(spread)] if len(tasks) > spread else list(tasks)
    judged, span, seconds, memory = _measured(spec, chosen, max(pages // max(len(chosen), 1), 1))
    kept = [j for j in judged if isinstance(j, Judged) and j.kept]
    dropped: Counter[str] = Counter()
    dropped_bytes = 0
    for j in judged:
        if isinstance(j, Died):
            dropped[f"child.{j.reason}"] += 1
        elif not j.kept:
            dropped[f"{j.stage}.{j.reason}"] += 1
            dropped_bytes += len((j.dropped_text or "").encode("utf-8", "replace"))
    text = sum(len(j.doc.text.encode("utf-8", "replace")) for j in kept if j.doc is not None)
    total = sum(_size(task) for task in tasks)
    return Forecast(
        pages=len(judged),
        bytes=min(span, total),
        kept=len(kept),
        seconds=seconds,
        memory_bytes=memory,
        text_bytes=text,
        dropped_bytes=dropped_bytes,
        total_bytes=total,
        phases=sum(1 + 3 * (level.dedup is not None) for level in levels) + 1,
        dropped=dict(dropped),
    )


def _measured(spec: JudgeSpec, tasks: Sequence[Task], pages: int) -> tuple[list[Judged | Died], int, float, int]:
    """Judges the first pages of each task: answers, bytes of the input that they span, CPU seconds, memory in bytes."""
    me = psutil.Process()
    judged: list[Judged | Died] = []
    span = 0
    start: float | None = None
    with supervised(spec) as child:
        for task in tasks:
            first = len(judged)
            last = task.start
            for page, answer in child.map(islice(open_task(task), pages)):
                start = start or time.monotonic()
                assert isinstance(page, Page), "nothing else was sent"
                last = page.offset
                judged.append(answer)
            read = len(judged) - first
            if read:  # they span up to the last one's beginning
                span += _size(task) if read < pages else _span(task, last) * read // max(read - 1, 1)
        seconds = (time.monotonic() - (start or time.monotonic())) or 1e-3
        memory = me.memory_info().rss + sum(c.memory_info().rss for c in me.children())
    return judged, span, seconds, memory


def _size(task: Task) -> int:
    """Bytes of the input that a task reads (rows, for Parquet)."""
    if task.records:
        return sum(length for _, length in task.records)
    return max(min(task.end, task.source.size) - task.start, 1)


def _span(task: Task, last: int) -> int:
    """Bytes that the sampled pages span: from the task's start to the last page's."""
    if task.records:
        return sum(length for offset, length in task.records if offset <= last)
    return max(last - task.start, 1)
