"""What a run would cost, from a sample of its input put through the first level: time, memory, disk, money."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import psutil

from curation.child import Died
from curation.judge import JudgeSpec
from curation.judged import Judged
from curation.readers.registry import open_task
from curation.recipe import Recipe
from curation.sift import DEFAULT_LIMITS, supervised
from schemas.records import Page
from schemas.tasks import Task

SHARD_BYTES_PER_CHARACTER = 0.45
"""Of text in zstd Parquet: .41 measured on English pages, .49 on mostly German ones, .69 on Korean ones."""

PHASE_SECONDS = 3.0
"""Start-up of a phase's workers."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Extrapolated from `pages` sampled pages that span `bytes` of the input.

    Attributes:
      pages: sampled.
      bytes: of the input that the sample spans.
      kept: of the sample, after the first level (before deduplication, where that comes last).
      seconds: CPU seconds that the sample took, reading included.
      memory_bytes: the child's and the reader's peak.
      text_bytes: kept text, UTF-8.
      total_bytes: of the whole input.
      dropped: losses of the sample, by `stage.reason`.
    """

    pages: int
    bytes: int
    kept: int
    seconds: float
    memory_bytes: int
    text_bytes: int
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
        """Shards, and about 90 bytes a page of ledger."""
        return round((self.text_bytes * SHARD_BYTES_PER_CHARACTER + 90 * self.pages) * self.scale)

    @property
    def work_bytes(self) -> int:
        """What the phases leave: documents once a level, 168 bytes of bucket keys a document, provisional ledgers."""
        return round((self.text_bytes * SHARD_BYTES_PER_CHARACTER * 2 + 168 * self.kept + 90 * self.pages) * self.scale)


def forecast(
    recipe: Recipe, files: dict[str, str], tasks: Sequence[Task], pages: int = 300, spread: int = 4
) -> Forecast:
    """Runs `pages` pages from `spread` tasks through the first level that knows their text.

    Args:
      recipe: what would run.
      files: model or list -> sha256.
      tasks: of the whole input.
      pages: how many to sample.
      spread: from how many tasks, evenly spaced.
    """
    levels = recipe.levels()
    steps = tuple(step for level in levels for step in level.steps)
    spec = JudgeSpec(steps, recipe.sample, recipe.seed, True, files)
    chosen = [tasks[len(tasks) * i // spread] for i in range(spread)] if len(tasks) > spread else list(tasks)
    me = psutil.Process()
    with supervised(spec, DEFAULT_LIMITS) as child:
        judged, spans = [], 0
        start: float | None = None
        for task in chosen:
            last = task.start
            for page, answer in child.map(islice(open_task(task), max(pages // len(chosen), 1))):
                start = start or time.monotonic()
                assert isinstance(page, Page), "nothing else was sent"
                last = page.offset
                judged.append(answer)
            spans += _span(task, last)
        seconds = (time.monotonic() - (start or time.monotonic())) or 1e-3
        memory = me.memory_info().rss + sum(c.memory_info().rss for c in me.children())
    kept = [j for j in judged if isinstance(j, Judged) and j.kept]
    dropped: dict[str, int] = {}
    for j in judged:
        name = f"child.{j.reason}" if isinstance(j, Died) else f"{j.stage}.{j.reason}"
        if isinstance(j, Died) or not j.kept:
            dropped[name] = dropped.get(name, 0) + 1
    text = sum(len(j.doc.text.encode("utf-8", "replace")) for j in kept if j.doc is not None)
    total = sum(_size(task) for task in tasks)
    phases = sum(1 + 3 * (level.dedup is not None) for level in levels) + 1
    return Forecast(len(judged), min(spans, total), len(kept), seconds, memory, text, total, phases, dropped)


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
