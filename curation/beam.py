"""The Beam units: composite PTransforms with typed ends. The functions do the work; these only wire it.

Elements are jobs, never pages, so every engine carries the same few bytes (`curation.for_each` is for pipelines of
users who bring documents of their own).
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


class Gather(_Perform):
    """Groups of key files, each to one file, before the exchange of a very large run."""


class ExchangeByRange(_Perform):
    """Hash ranges of all tasks' keys to edges. The data moves by files; the engine carries the ranges."""


class Components(_Perform):
    """All edges to keepers: one job."""


class Publish(_Perform):
    """Parts of the output."""


UNITS: dict[str, type[_Perform]] = {
    "sift": Sift,
    "sign": Sign,
    "gather": Gather,
    "match": ExchangeByRange,
    "cluster": Components,
    "publish": Publish,
}
"""A phase's name -> its unit."""


def build(pipeline: Any, phase: Phase, plan: str) -> Any:
    """One phase as a Beam pipeline."""
    return pipeline | "ReadPlan" >> ReadPlan(plan) | UNITS[phase.name].__name__ >> UNITS[phase.name](phase)
