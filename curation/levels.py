"""Levels: each sifts every task, and where a dedup stage ends it, signs, matches and clusters what stayed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.by_language import EACH, KOREAN
from curation.hashing import digest, job_id
from curation.inputs import Given
from curation.jobs import Job, Marker
from curation.judge import JudgeSpec, SignSpec
from curation.judged import Sealed
from curation.keep import Kept
from curation.ledger import LedgerLevel
from curation.match import Cluster, Gather, Match
from curation.phases import PhaseRunner, RunFailedError
from curation.plan import close_chain, limit_pages, plan
from curation.recipe import Recipe
from curation.sift import Sift
from curation.sign import Sign, unpack_counts
from curation.steps import Level, gates, library_versions
from dedup.exchange import FENCES, ranges
from dedup.gather import groups
from schemas.stage import Dedup, Gate, Rewrite, Rule
from schemas.tasks import Task
from storage.hashed import HashedFile
from storage.paths import join

KEYS_PER_RANGE = 8_000_000
"""Bucket keys that one match job holds: about 100 MB of them, read by slices."""

SECONDS_PER_BYTE = 3e-6
"""Extraction of 7 kB of packed HTML takes some 20 ms."""

SECONDS_PER_DOCUMENT = 0.003
SECONDS_PER_KOREAN = 0.1
"""Kiwi takes 115 ms for 5,000 characters."""

MAX_CHAIN_ROUNDS = 16
"""Rounds of running tasks again to close the chain of record bounds; each moves a file's first gap by a task."""


@dataclass
class TaskState:
    """One task on its way through the levels."""

    task: Task
    levels: list[LedgerLevel] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    """Of each level's sift."""
    depends: str = ""
    """Hash of the markers behind its present documents."""

    @property
    def kept(self) -> Kept:
        """Its documents after the last level so far."""
        return self.levels[-1].kept

    @property
    def pages(self) -> int:
        """As the reader counted them."""
        return int(self.facts[0]["pages"])


@dataclass(frozen=True, slots=True)
class DedupResult:
    """What a dedup stage decided, for publish."""

    stage: str
    groups: str
    members: int
    documents: str
    """File list of the level's documents files."""


class Levels:
    """Runs the levels of a recipe over tasks.

    Args:
      recipe: what to do.
      files: model or list -> sha256.
      runner: brings phases to their end.
    """

    def __init__(self, recipe: Recipe, files: dict[str, str], runner: PhaseRunner) -> None:
        self._recipe, self._files, self._runner = recipe, files, runner
        self._levels = recipe.levels()
        self.states: list[TaskState] = []
        self.dedups: list[DedupResult] = []
        self.failed: dict[str, str] = {}
        """Source name -> why it could not be read."""
        self.unsigned: Counter[str] = Counter()

    def run(self, given: Given, limit: int) -> None:
        """All levels; afterwards `states` holds every readable task, in (path, offset) order."""
        depends = ""
        for level in self._levels:
            depends = self._depends(level, depends)
            if level.index == 0:
                tasks = plan(given, depends)
                self._read(level, depends, limit_pages(tasks, limit) if limit else tasks)
            else:
                self._sift(level, depends, self.states)
            if level.dedup is not None:
                self._dedup(level)

    def _depends(self, level: Level, before: str) -> str:
        """Hash of what a level's sift depends on, the levels before it included."""
        steps = [
            [entry.model_dump(mode="json"), step.each]
            for step in level.steps
            for entry in self._recipe.entries
            if entry.name == step.name
        ]
        names = {name for step in level.steps for name in step.stage.files()}
        libraries = library_versions(level.steps)  # another stage's are no reason to extract again
        sample = self._recipe.sample.model_dump(mode="json")
        files = {name: self._files[name] for name in sorted(names)}
        return digest([before, steps, files, libraries, sample, self._recipe.seed, level.from_input, level.has_text])

    def _read(self, level: Level, depends: str, tasks: list[Task]) -> None:
        """The first level: tasks run again until each begins where the one before it ended."""
        for _ in range(MAX_CHAIN_ROUNDS):
            states = [TaskState(task) for task in tasks]
            self._sift(level, depends, states)
            tasks = [state.task for state in self.states]
            bounds = [(state.facts[0]["first"], state.facts[0]["end"]) for state in self.states]
            again = close_chain(tasks, bounds)
            if again == tasks:
                return
            tasks = again
        raise RunFailedError(
            f"the bounds of records did not close in {MAX_CHAIN_ROUNDS} rounds; the files are no sound archives or a "
            f"defect of ours: please report them"
        )

    def _sift(self, level: Level, depends: str, states: Sequence[TaskState]) -> None:
        sample, seed = self._recipe.sample, self._recipe.seed
        libraries = library_versions(level.steps)
        judge = JudgeSpec(level.steps, self._recipe.sampling, seed, level.has_text, self._files, libraries)
        phase = Sift(
            join(self._runner.work, "sift", depends[:16]),
            Sealed.of(judge),
            sample,
            seed,
            level.from_input,
            signal_names(level),
            heartbeats=self._runner.heartbeats,
        )
        jobs = [self._sift_job(level, depends, state) for state in states]
        if level.from_input:
            weights = {job.id: _size(state.task) for job, state in zip(jobs, states, strict=True)}
            markers = self._runner.run(phase, jobs, weights, SECONDS_PER_BYTE * sum(weights.values()))
        else:
            weights = {job.id: state.kept.rows for job, state in zip(jobs, states, strict=True)}
            markers = self._runner.run(phase, jobs, weights, self._seconds(states))
        for state, job, marker in zip(states, jobs, markers, strict=True):
            if marker is None:
                self.failed[state.task.source.name] = self._runner.failed_inputs[job.id]
                continue
            at = {what: join(phase.folder, file.name) for what, file in marker.files.items()}
            state.levels.append(LedgerLevel(at["ledger"], Kept(at["docs"], marker.facts["survived"])))
            state.signals.append(at["signals"])
            state.dropped.append(at["dropped"])
            state.facts.append(dict(marker.facts))
            state.depends = marker.sha256
        self.states = [s for s in states if s.task.source.name not in self.failed]

    def _sift_job(self, level: Level, depends: str, state: TaskState) -> Job:
        task = state.task
        payload: dict[str, Any] = {"task": task.to_json()}
        if level.index == 0:
            return Job(task.id, task.index, payload)
        payload["kept"] = state.kept.to_json()
        return Job(job_id(task.id, state.depends, depends), task.index, payload)

    def _dedup(self, level: Level) -> None:
        """Signs, matches and clusters a level's documents, and lays the keep bits over every task."""
        assert level.dedup is not None, "only called where a dedup stage ends the level"
        assert isinstance(level.dedup.stage, Dedup), level.dedup.stage
        name = level.dedup.name
        entry = next(e for e in self._recipe.entries if e.name == name)
        files = {n: self._files[n] for n in level.dedup.stage.files()}
        libraries = library_versions([level.dedup])
        depends = digest([entry.model_dump(mode="json"), level.dedup.each, files, libraries])
        build = Sealed.of(SignSpec(level.dedup, self._files, libraries))
        sign = Sign(join(self._runner.work, "sign", depends[:16]), build)
        jobs = [Job(job_id(s.task.id, s.depends, depends), s.task.index, {"docs": s.kept.docs}) for s in self.states]
        weights = {job.id: state.kept.rows for job, state in zip(jobs, self.states, strict=True)}
        signed = [_sure(marker) for marker in self._runner.run(sign, jobs, weights, self._seconds(self.states))]
        bases = np.concatenate([[0], np.cumsum([s.kept.rows for s in self.states])]).tolist()
        total = bases.pop()
        edges = self._match(sign.folder, signed, bases)
        priorities = [
            (join(sign.folder, m.files["priorities"].name), base)
            for m, base in zip(signed, bases, strict=True)
            if "priorities" in m.files
        ]
        cluster = Cluster(join(self._runner.work, "cluster"))
        payload = {"edges": self._list(edges), "priorities": self._list(priorities), "documents": total}
        job = Job(job_id(payload, [m.sha256 for m in signed]), 0, payload)
        result = _sure(self._runner.run(cluster, [job])[0])
        at = {what: join(cluster.folder, file.name) for what, file in result.files.items()}
        documents = self._list([(s.kept.docs, base) for s, base in zip(self.states, bases, strict=True)])
        self.dedups.append(DedupResult(name, at["groups"], result.facts["members"], documents))
        for state, base in zip(self.states, bases, strict=True):
            last = state.levels[-1]
            kept = Kept(last.kept.docs, last.kept.rows, base, at["bits"], at["clusters"])
            state.levels[-1] = LedgerLevel(last.ledger, kept, name, level.dedup.stage.reasons[0])
            state.depends = digest([state.depends, result.sha256])
        for marker in signed:
            self.unsigned.update(marker.facts["unsigned"])

    def _seconds(self, states: Sequence[TaskState]) -> float:
        """About how long the documents take, on one core."""
        slow = self._recipe.language in (KOREAN, EACH)
        return sum(state.kept.rows for state in states) * (SECONDS_PER_KOREAN if slow else SECONDS_PER_DOCUMENT)

    def _match(self, folder: str, signed: Sequence[Marker], bases: Sequence[int]) -> list[tuple[str, int]]:
        """Edges files of all hash ranges."""
        counts = np.zeros(FENCES, np.int64)
        for marker in signed:
            counts += unpack_counts(marker.facts["fences"])
        cut = ranges(counts, KEYS_PER_RANGE)
        keys = [(join(folder, m.files["keys"].name), base) for m, base in zip(signed, bases, strict=True)]
        keys = self._gathered(keys, groups(len(keys), len(cut)))
        match = Match(join(self._runner.work, "match"))
        listed = self._list(keys)
        jobs = [Job(job_id(listed, a, b), i, {"files": listed, "fences": [a, b]}) for i, (a, b) in enumerate(cut)]
        markers = self._runner.run(match, jobs)
        return [(join(match.folder, _sure(marker).files["edges"].name), 0) for marker in markers]

    def _gathered(self, keys: list[tuple[str, int]], into: Sequence[range]) -> list[tuple[str, int]]:
        """The files of keys, merged in groups where files x ranges would be too many reads."""
        if all(len(group) == 1 for group in into):
            return keys
        gather = Gather(join(self._runner.work, "gather"))
        jobs = []
        for i, group in enumerate(into):
            listed = self._list([keys[k] for k in group])
            jobs.append(Job(job_id(listed), i, {"files": listed}))
        return [(join(gather.folder, _sure(m).files["keys"].name), 0) for m in self._runner.run(gather, jobs)]

    def _list(self, rows: Sequence[tuple[str, int]]) -> str:
        """Writes a file list; named by its hash, so that the same rows have the same path."""
        folder = join(self._runner.work, "lists")
        table = pa.table(
            {"path": pa.array([r[0] for r in rows], pa.string()), "base": pa.array([r[1] for r in rows], pa.int64())}
        )
        with HashedFile(folder, "files", ".parquet") as file:
            pq.write_table(table, file, compression="zstd")
            return join(folder, file.commit().name)

    def tallies(self) -> Iterator[dict[str, Any]]:
        """Tallies of all sifts, in task order, as JSON values."""
        for state in self.states:
            yield from (facts["tally"] for facts in state.facts)


def _size(task: Task) -> int:
    """Bytes that a task reads, as far as they are known; rows, for Parquet."""
    if task.records:
        return sum(length for _, length in task.records)
    return max(min(task.end, task.source.size) - task.start, 1)


def signal_names(level: Level) -> tuple[str, ...]:
    """`stage.reason` of everything that a level's rules and gates may measure."""
    judges = [step for step in level.steps if isinstance(step.stage, Rule | Rewrite | Gate)]
    named = [f"{step.name}.{reason}" for step in judges for reason in step.stage.reasons]
    off = {f"{step.name}.{step.stage.gate_reason}" for step in judges if isinstance(step.stage, Gate)}
    off -= {gate.signal for gate in gates(level.steps)}
    return tuple(name for name in named if name not in off)


def _sure(marker: Marker | None) -> Marker:
    assert marker is not None, "only tasks that read the input may end without a marker"
    return marker
