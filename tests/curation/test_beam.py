"""Document stages in pipelines of one's own, and the units that carry jobs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline  # pytest would collect it by its name
from apache_beam.testing.util import assert_that, equal_to

from curation import ForEach
from curation.beam import UNITS, Done, ReadPlan, build, jobs_table
from curation.edits.pii import Pii
from curation.jobs import Job, JobError, read_marker
from curation.rules.c4 import C4
from curation.rules.gopher_quality import GopherQuality
from schemas.records import Document, Verdict
from schemas.stage import Stage
from tests.curation.conftest import PROSE
from tests.curation.own_stages import ShortTexts
from tests.curation.test_jobs import Writes

FRAGMENT = Document("too short", "b")
ARTICLE = Document("\n".join(f"{line}." for line in PROSE), "a")
BRACKET = Document("if (x) { y }", "c")

RULES: dict[str, tuple[Stage, list[Document], list[Document], list[tuple[Verdict, Document]], dict[str, int]]] = {
    "own_rule": (
        ShortTexts(min_characters=10), [ARTICLE, FRAGMENT], [ARTICLE],
        [(Verdict("too_short", 9, 10), FRAGMENT)], {"kept": 1, "too_short": 1},
    ),
    "gopher_quality": (
        GopherQuality(), [ARTICLE, FRAGMENT], [ARTICLE],
        [(Verdict("too_few_words", 2, 50), FRAGMENT)], {"kept": 1, "too_few_words": 1},
    ),
    "rewrite": (
        C4(), [ARTICLE, BRACKET], [ARTICLE],
        [(Verdict("curly_bracket", 1, 0), BRACKET)], {"kept": 1, "curly_bracket": 1},
    ),
    "edit": (Pii(emails=("x@y.org",)), [Document("me@mine.org", "a")], [Document("x@y.org", "a")], [], {"kept": 1}),
    "nothing": (ShortTexts(), [], [], [], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_for_each(case: str) -> None:
    stage, docs, kept, dropped, counts = RULES[case]
    with Pipeline() as pipeline:
        out = pipeline | beam.Create(docs) | ForEach("mine", stage)
        assert_that(out.kept, equal_to(kept), label="kept")
        assert_that(out.dropped, equal_to(dropped), label="dropped")
    found = pipeline.result.metrics().query()["counters"]
    assert {c.key.metric.name: c.committed for c in found if c.key.metric.namespace == "mine"} == counts


def test_the_verdicts_are_the_stages_own() -> None:
    rule = GopherQuality()
    docs = [replace(ARTICLE, text=ARTICLE.text[:n], id=str(n)) for n in range(0, 400, 50)]
    with Pipeline() as pipeline:
        out = pipeline | beam.Create(docs) | "gopher_quality" >> ForEach("gopher_quality", rule)
        assert_that(out.kept, equal_to([doc for doc in docs if rule(doc) is None]), label="kept")
        assert_that(out.dropped, equal_to([(v, doc) for doc in docs if (v := rule(doc))]), label="dropped")


def test_two_in_a_row() -> None:
    with Pipeline() as pipeline:
        kept = pipeline | beam.Create([ARTICLE, FRAGMENT]) | "long" >> ForEach("long", ShortTexts())
        out = kept.kept | "clean" >> ForEach("clean", Pii())
        assert_that(out.kept, equal_to([ARTICLE]))


def plan(folder: Path, jobs: list[Job]) -> str:
    pq.write_table(jobs_table(jobs), folder / "jobs.parquet")
    return str(folder / "jobs.parquet")


@pytest.mark.parametrize("payloads", [[], [None], [{"a": [1, "글"]}, {"b": None}, "x"]])
def test_a_plan_comes_back_as_jobs(payloads: list[Any], tmp_path: Path) -> None:
    jobs = [Job(f"j{i}", i, payload) for i, payload in enumerate(payloads)]
    with Pipeline() as pipeline:
        assert_that(pipeline | ReadPlan(plan(tmp_path, jobs)), equal_to(jobs))


def test_only_the_plans_path_enters_the_graph(tmp_path: Path) -> None:
    """However many jobs there are."""
    sizes = []
    for n in (1, 5000):
        jobs = [Job(f"j{i:06}", i, {"path": f"s3://bucket/{i}" * 10}) for i in range(n)]
        pipeline = beam.Pipeline()
        build(pipeline, Writes(str(tmp_path / "p")), plan(tmp_path, jobs))
        sizes.append(len(pipeline.to_runner_api().SerializeToString()))
    assert abs(sizes[0] - sizes[1]) < 200
    assert sizes[0] < 100_000


@pytest.mark.parametrize(("name", "unit"), UNITS.items())
def test_units_commit_every_job(name: str, unit: Any, tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"), name=name)
    jobs = [Job(f"j{i}", i, {}) for i in range(3)]
    with Pipeline() as pipeline:
        assert_that(build(pipeline, phase, plan(tmp_path, jobs)), equal_to([Done("j0"), Done("j1"), Done("j2")]))
    assert [read_marker(phase.folder, job.id) is not None for job in jobs] == [True] * 3
    found = pipeline.result.metrics().query()["counters"]
    assert {c.key.metric.name: c.committed for c in found if c.key.metric.namespace == name} == {"done": 3}
    labels = {applied.full_label for applied in pipeline.transforms_stack[0].parts}
    assert {"ReadPlan", unit.__name__} <= labels


def test_a_failed_job_is_told_not_raised(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"), error=JobError("a.gz: cut"))
    with Pipeline() as pipeline:
        out = build(pipeline, phase, plan(tmp_path, [Job("j", 0, {})]))
        assert_that(out, equal_to([Done("j", "a.gz: cut")]))
    assert json.loads((tmp_path / "p" / "j.failed").read_bytes())["words"] == "a.gz: cut"
