"""Runs a phase's jobs until every marker stands, or says which do not and why."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import pyarrow.parquet as pq

from curation.beam import jobs_table
from curation.engine import Engine, EngineError
from curation.jobs import Job, Marker, Phase, failure, read_marker
from curation.progress import Beat, Progress
from storage.commit import replace_atomic
from storage.hashed import HashedFile
from storage.paths import is_local, join, listdir, open_read, remove

AGAIN = "run the same command again"
"""What storage's errors advise already."""

SILENT = "it ended without a word"

START_SECONDS = 6.0
"""What starting two workers with their children takes on two cores."""


class RunFailedError(Exception):
    """The run can't go on: one line a fault. What was committed stays; the same command goes on from there."""


@dataclass
class PhaseRunner:
    """Runs phases on an engine, under one work folder."""

    engine: Engine
    work: str
    retries: int
    progress: Progress
    failed_inputs: dict[str, str] = field(default_factory=dict)
    """Job id -> why its input could not be read."""
    _left: list[tuple[str, set[str]]] = field(default_factory=list)
    """Folders and job ids of the phases that ran."""

    def run(
        self, phase: Phase, jobs: Sequence[Job], weights: Mapping[str, int] | None = None, seconds: float = inf
    ) -> list[Marker | None]:
        """Brings a phase to its end.

        Args:
          phase: what to do.
          jobs: all of its jobs, done ones included.
          weights: job id -> how much of the phase's work it is, for progress; default all alike.
          seconds: about how long one core would take; what starting workers takes longer than runs in the driver.

        Returns:
          The markers in the jobs' order; None only for jobs whose input failed (see `failed_inputs`).

        Raises:
          RunFailedError: jobs are left without a marker for another reason.
        """
        watch = _Watch(phase, jobs, weights or {}, self.progress, self.heartbeats)
        pending = [job for job in jobs if job.id not in watch.done()]
        self.progress.begin(phase.name, len(jobs), len(jobs) - len(pending))
        trouble, told, given_up = "", "", []
        for attempt in range(self.retries + 1):
            if not pending:
                break
            if attempt:
                trouble = trouble or SILENT
                words = "as before" if trouble == told else trouble
                self.progress.note(
                    f"{phase.name}: try {attempt + 1} of {self.retries + 1} for {len(pending)} jobs; {words}"
                )
                told = trouble
            try:
                workers = 1 if seconds < START_SECONDS else len(pending)
                self.engine.run(phase, self._plan(phase, pending), workers, watch.look)
                trouble = ""
            except EngineError as error:
                trouble = str(error)
            done = watch.done()
            pending = [job for job in pending if job.id not in done]
            failures = {job.id: failure(phase.folder, job.id) for job in pending}
            trouble = trouble or next((fault.words for fault in failures.values()), "")
            given_up += [job for job in pending if failures[job.id].final]
            pending = [job for job in pending if not failures[job.id].final]
        self._settle(phase, given_up + pending, trouble)
        watch.look()
        self._left.append((phase.folder, {job.id for job in jobs}))
        markers = [read_marker(phase.folder, job.id) for job in jobs]
        _sweep(phase.folder, [marker for marker in markers if marker is not None])
        return markers

    def clean(self) -> None:
        """Deletes what this run's jobs left, and nobody else's; another run that shares them does them again."""
        for folder, ids in self._left:
            for name in listdir(folder):
                if name.partition(".")[0] in ids:
                    remove(join(folder, name))

    @property
    def heartbeats(self) -> str:
        """Folder for heartbeats; empty where the work folder is remote."""
        return join(self.work, "heartbeats") if is_local(self.work) else ""

    def _plan(self, phase: Phase, jobs: Sequence[Job]) -> str:
        """Writes the jobs file; returns its path."""
        folder = join(self.work, "plans")
        with HashedFile(folder, phase.name, ".parquet") as file:
            pq.write_table(jobs_table(jobs), file, compression="zstd")
            return join(folder, file.commit().name)

    def _settle(self, phase: Phase, pending: Sequence[Job], trouble: str) -> None:
        """Sorts what is left without a marker into failed inputs and failures of the run."""
        faults: Counter[str] = Counter()
        first: dict[str, str] = {}
        for job in pending:
            fault = failure(phase.folder, job.id)
            if fault.input:
                self.failed_inputs[job.id] = fault.words
            else:
                words = fault.words or trouble or self._silence(phase, job)
                faults[words] += 1
                first.setdefault(words, fault.where)
        if faults:
            listed = [_fault(words, n, first[words]) for words, n in faults.most_common(5)]
            if not all(AGAIN in words for words in listed):
                listed.append("what is done stays done; mend this and give the same command again")
            jobs = "1 job" if faults.total() == 1 else f"{faults.total()} jobs"
            raise RunFailedError(f"{jobs} of the phase {phase.name!r} failed: " + ";\n".join(listed))

    def _silence(self, phase: Phase, job: Job) -> str:
        """Why a job left no words: where there is no room for any, the driver finds none either."""
        note = json.dumps({"words": SILENT})
        try:
            replace_atomic(join(phase.folder, f"{job.id}.failed"), note.encode())
        except OSError as error:
            return str(error)
        return SILENT


def _fault(words: str, jobs: int, where: str) -> str:
    """A fault of so many jobs, and where the first of them met it."""
    told = f"{jobs} x {words}" if jobs > 1 else words
    return f"{told}, {'the first ' if jobs > 1 else ''}{where}" if where else told


def _sweep(folder: str, markers: Sequence[Marker]) -> None:
    """Removes what attempts of these jobs left that no marker names."""
    named = {file.name for marker in markers for file in marker.files.values()}
    done = {marker.job for marker in markers}
    for name in listdir(folder):
        if name.partition(".")[0] in done and name not in named and not name.endswith(".json"):
            remove(join(folder, name))


class _Watch:
    """Looks at markers and heartbeats, for progress."""

    def __init__(
        self, phase: Phase, jobs: Sequence[Job], weights: Mapping[str, int], progress: Progress, heartbeats: str
    ) -> None:
        self._phase, self._progress, self._heartbeats = phase, progress, heartbeats
        self._weights = {job.id: weights.get(job.id, 1) for job in jobs}
        self._total = max(sum(self._weights.values()), 1)
        self._seen: set[str] = set()
        self._pages = self._kept = 0
        self._dropped: Counter[str] = Counter()

    def done(self) -> set[str]:
        """Ids of the jobs whose marker stands."""
        names = (name.removesuffix(".json") for name in listdir(self._phase.folder) if name.endswith(".json"))
        return {name for name in names if name in self._weights}

    def look(self) -> None:
        """Reads what is new and tells it."""
        done = self.done()
        for job_id in done - self._seen:
            marker = read_marker(self._phase.folder, job_id)
            assert marker is not None, "a listed marker can be read"
            self._pages += marker.facts.get("pages", 0)
            self._kept += marker.facts.get("survived", 0)
            for stage, reasons in marker.facts.get("tally", {}).get("dropped_by", {}).items():
                self._dropped.update({f"{stage}.{reason}": n for reason, n in reasons.items()})
        self._seen |= done
        pages, kept = self._beats(done)
        share = sum(self._weights[job_id] for job_id in done) / self._total
        beat = Beat(
            self._phase.name,
            len(done),
            len(self._weights),
            self._pages + pages,
            self._kept + kept,
            share,
            self._dropped,
        )
        self._progress.beat(beat)

    def _beats(self, done: set[str]) -> tuple[int, int]:
        """Pages and kept ones of the tasks under way."""
        pages = kept = 0
        for name in listdir(self._heartbeats) if self._heartbeats else ():
            job_id = name.partition(".")[0]
            if job_id not in self._weights or job_id in done:
                continue
            try:
                with open_read(join(self._heartbeats, name)) as file:
                    beat = json.load(file)
            except OSError:  # its task ended a moment ago
                continue
            pages, kept = pages + beat["pages"], kept + beat["kept"]
        return pages, kept
