"""The Beam units: composite PTransforms with typed ends. The functions do the work; these only wire it.

Elements are jobs, never pages, so every engine carries the same few bytes; `ForEach` is the exception, for pipelines of
users who bring documents of their own.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics

from curation import lifeline
from curation.jobs import Job, Phase, perform
from curation.judge import load_stages, run_stage
from curation.recipe import Step
from schemas.records import Document, Verdict
from schemas.stage import Stage
from storage.paths import open_read

JOBS = pa.schema([("id", pa.string()), ("index", pa.int64()), ("payload", pa.string())])
"""A jobs file: payloads are JSON."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a job's attempt came to."""

    id: str
    error: str = ""


def jobs_table(jobs: Iterable[Job]) -> pa.Table:
    """Jobs as a table of schema `JOBS`."""
    rows = [{"id": j.id, "index": j.index, "payload": json.dumps(j.payload, sort_keys=True)} for j in jobs]
    return pa.Table.from_pylist(rows, schema=JOBS)


class ReadPlan(beam.PTransform):
    """A jobs file to its jobs, spread over the workers; the file's path is all that enters the job graph."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, begin: Any) -> Any:
        paths = begin | "Path" >> beam.Create([self._path])
        return paths | "Jobs" >> beam.FlatMap(_read_jobs).with_output_types(Job) | "Spread" >> beam.Reshuffle()


def _read_jobs(path: str) -> Iterator[Job]:
    with open_read(path) as file:
        for row in pq.read_table(file).to_pylist():
            yield Job(row["id"], row["index"], json.loads(row["payload"]))


class _PerformFn(beam.DoFn):
    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._done = Metrics.counter(phase.name, "done")
        self._failed = Metrics.counter(phase.name, "failed")

    def setup(self) -> None:
        lifeline.follow_driver()
        self._phase.setup()

    def process(self, job: Job) -> Iterator[Done]:
        outcome = perform(self._phase, job)
        failed = isinstance(outcome, str)
        (self._failed if failed else self._done).inc()
        yield Done(job.id, outcome if isinstance(outcome, str) else "")

    def teardown(self) -> None:
        self._phase.close()


class _Perform(beam.PTransform):
    """PCollection[Job] -> PCollection[Done]: an idempotent commit a job."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self._phase = phase

    def expand(self, jobs: Any) -> Any:
        return jobs | self._phase.name >> beam.ParDo(_PerformFn(self._phase)).with_output_types(Done)


class Sift(_Perform):
    """Tasks through a level's document stages."""


class Sign(_Perform):
    """Tasks' documents to bucket keys, laid out by hash range."""


class ExchangeByRange(_Perform):
    """Hash ranges of all tasks' keys to edges. The data moves by files; the engine carries the ranges."""


class Components(_Perform):
    """All edges to keepers: one job."""


class Publish(_Perform):
    """Parts of the output."""


UNITS: dict[str, type[_Perform]] = {
    "sift": Sift,
    "sign": Sign,
    "match": ExchangeByRange,
    "cluster": Components,
    "publish": Publish,
}
"""A phase's name -> its unit."""


def build(pipeline: Any, phase: Phase, plan: str) -> Any:
    """One phase as a Beam pipeline."""
    return pipeline | "ReadPlan" >> ReadPlan(plan) | UNITS[phase.name].__name__ >> UNITS[phase.name](phase)


class _ForEachFn(beam.DoFn):
    def __init__(self, name: str, stage: Stage, files: dict[str, str]) -> None:
        self._step, self._files = Step(name, stage), files
        self._counters = {reason: Metrics.counter(name, reason) for reason in ("kept", *stage.reasons)}

    def setup(self) -> None:
        (self._loaded,) = load_stages((self._step,), self._files)

    def process(self, doc: Document) -> Iterator[Any]:
        doc, measured = run_stage(self._loaded, doc, whole=False)
        failed = next((m for m in measured if m.failed), None)
        self._counters[failed.reason if failed else "kept"].inc()
        if failed is None:
            yield doc
        else:
            yield beam.pvalue.TaggedOutput("dropped", (Verdict(failed.reason, failed.value, failed.threshold), doc))


class ForEach(beam.PTransform):
    """Any document stage in a Beam pipeline of one's own: PCollection[Document] -> `kept`, `dropped`.

    `dropped` holds (Verdict, Document). Counters bear the stage's name, one a reason and `kept`. The stage runs in the
    engine's worker, not in a supervised child: for text that you trust.

    Example:
      documents | "gopher_quality" >> ForEach("gopher_quality", GopherQuality(min_words=20))
    """

    def __init__(self, name: str, stage: Stage, files: dict[str, str] | None = None) -> None:
        """Args: `files`: sha256 of each model or list that the stage needs; default those of the registry."""
        super().__init__()
        self._name, self._stage = name, stage
        self._files = files if files is not None else dict.fromkeys(stage.files(), "")

    def expand(self, docs: Any) -> Any:
        fn = beam.ParDo(_ForEachFn(self._name, self._stage, self._files))
        return docs | self._name >> fn.with_outputs("dropped", main="kept")
