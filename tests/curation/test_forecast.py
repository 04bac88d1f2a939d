"""Forecasts: arithmetic on a measured sample, and the sample itself."""

import json
from pathlib import Path

import pytest

from curation.forecast import PHASE_SECONDS, SHARD_BYTES_PER_CHARACTER, Forecast, forecast
from curation.inputs import resolve as resolve_inputs
from curation.plan import plan
from curation.recipe import resolve
from schemas.recipe import PipelineSpec
from schemas.tasks import Task
from tests.curation.conftest import Small
from tests.runs import Sample

MEASURED = Forecast(
    pages=100, bytes=1_000, kept=40, seconds=36.0, memory_bytes=7, text_bytes=10_000, dropped_bytes=5_000,
    total_bytes=100_000, phases=5, dropped={},
)  # fmt: skip


def test_the_whole_from_a_part() -> None:
    assert (MEASURED.scale, MEASURED.total_pages) == (100, 10_000)
    assert MEASURED.core_hours == 1.0
    assert MEASURED.wall_seconds(1) == 3_600 + 5 * PHASE_SECONDS
    assert MEASURED.wall_seconds(4) == 900 + 5 * PHASE_SECONDS
    text, ledger, keys = 10_000 * SHARD_BYTES_PER_CHARACTER, 90 * 100, 224 * 40
    dropped = 5_000 * SHARD_BYTES_PER_CHARACTER * 20  # of a large run some hundreds a reason, not all
    output = 100 * (text + ledger) + dropped
    assert MEASURED.output_bytes == round(output)
    assert MEASURED.work_bytes == round(100 * (2 * text + 2 * ledger + keys) + 2 * dropped + output)


def test_nothing_measured() -> None:
    nothing = Forecast(0, 0, 0, 0.001, 7, 0, 0, 100, 1, {})
    assert (nothing.scale, nothing.total_pages, nothing.core_hours) == (0, 0, 0)


def tasks_of(patterns: list[str]) -> list[Task]:
    return plan(resolve_inputs(patterns), "x")


def test_small_inputs_are_measured_whole(small: Small) -> None:
    found = forecast(small.recipe(), {}, tasks_of(small.inputs), pages=300)
    assert (found.pages, found.kept) == (10, 7)  # duplicates are not looked for
    assert found.dropped == {"short_texts.too_short": 3}
    assert found.phases == 1 + 3 + 1 + 1
    assert found.total_bytes == sum(path.stat().st_size for path in small.folder.iterdir())
    assert 0 < found.seconds < 60
    assert found.memory_bytes > 50 << 20


@pytest.mark.parametrize("pages", [20, 100])
def test_a_sample_tells_how_many_pages_there_are(pages: int, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": "equal", "id": f"{i:06}"}) + "\n" for i in range(2_000))
    (tmp_path / "a.jsonl").write_text(lines)
    recipe = resolve("x", PipelineSpec.model_validate({"stages": ["pii"]}))
    found = forecast(recipe, {}, tasks_of([str(tmp_path / "a.jsonl")]), pages=pages)
    assert (found.pages, found.kept, found.dropped) == (pages, pages, {})
    assert 1_950 <= found.total_pages <= 2_050
    assert found.total_bytes == len(lines)


def test_pages_of_an_archive(sample: Sample) -> None:
    recipe = resolve("x", PipelineSpec.model_validate({"stages": ["extract"]}))
    found = forecast(recipe, {}, tasks_of(list(sample.inputs.patterns)), pages=1_000)
    assert found.pages == len(sample.truth.pages)
    assert found.dropped["extract.http_status"] == 5
    assert found.total_bytes == sum(p.stat().st_size for p in sample.folder.rglob("*.warc.gz"))
