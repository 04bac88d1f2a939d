"""Arrow schemas, tasks, manifest and the models of pipelines.yaml."""

import json

import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas.manifest import Counts, Manifest
from schemas.recipe import PipelineFile, PipelineSpec, Publish, Sample, StageSpec
from schemas.tables import CLUSTERS, DOCS, DROPPED_TEXT, LEDGER, SHARD, signals
from schemas.tasks import Compression, Format, Source, Task

LEDGER_COLUMNS = [
    "id", "url", "path", "offset", "outcome", "stage", "reason", "value", "threshold", "gate", "url_hash",
]  # fmt: skip


def test_columns() -> None:
    assert LEDGER.names == LEDGER_COLUMNS
    assert SHARD.names[-6:] == [
        "offset", "language_script", "top_languages", "quality_score", "cluster_size", "metadata",
    ]  # fmt: skip
    assert CLUSTERS.names == ["stage", "keeper_id", "id", "url", "path", "offset", "size", "kept"]
    assert DROPPED_TEXT.names == [
        "id", "url", "path", "offset", "stage", "reason", "value", "threshold", "text",
    ]  # fmt: skip


def test_one_column_has_one_type_everywhere() -> None:
    types: dict[str, set[str]] = {}
    for schema in (SHARD, DOCS, LEDGER, CLUSTERS, DROPPED_TEXT, signals(())):
        for field in schema:
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            types.setdefault(field.name, set()).add(str(plain))
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


def test_signals() -> None:
    schema = signals(("c4.x", "fineweb.y"))
    assert schema.names == ["id", "path", "offset", "sampled", "c4.x", "fineweb.y"]
    assert schema.field("c4.x").type == pa.float32()


TASKS = {
    "range": Task("i", 3, Source("s3://b/a", "a", 9, "t", Format.WARC, Compression.GZIP, "d"), 5, 2**63 - 1),
    "records": Task(
        "i", 0, Source("a", "a", 0, "", Format.WARC, Compression.GZIP, ""), 5, 9, True, ((5, 2), (7, 2)), 12
    ),
}


@pytest.mark.parametrize("case", TASKS)
def test_tasks_travel_as_json(case: str) -> None:
    again = Task.from_json(json.loads(json.dumps(TASKS[case].to_json())))
    assert again == TASKS[case]
    assert isinstance(again.source.format, Format)


STAGES = {
    "name": ("pii", StageSpec(name="pii")),
    "nothing_said": ({"pii": None}, StageSpec(name="pii")),
    "params": ({"c4": {"a": 1}}, StageSpec(name="c4", params={"a": 1})),
    "disabled": ({"c4": {"a": 1, "enabled": False}}, StageSpec(name="c4", enabled=False, params={"a": 1})),
}


@pytest.mark.parametrize("case", STAGES)
def test_stages_as_written(case: str) -> None:
    written, spec = STAGES[case]
    assert PipelineSpec.model_validate({"stages": [written]}).stages == (spec,)


WRONG = {
    "no_stages": {},
    "two_names": {"stages": [{"a": None, "b": None}]},
    "a_number": {"stages": [7]},
    "unknown_key": {"stages": ["pii"], "x": 1},
    "rate": {"stages": ["pii"], "sample": {"rate": 1.1}},
    "rows": {"stages": ["pii"], "publish": {"rows_per_group": 0}},
    "by": {"stages": ["pii"], "publish": {"by": ["url"]}},
    "signals": {"stages": ["pii"], "sample": {"signals": "some"}},
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str) -> None:
    with pytest.raises(ValidationError):
        PipelineSpec.model_validate(WRONG[case])


def test_defaults() -> None:
    assert Publish().model_dump() == {"rows_per_part": 500_000, "rows_per_group": 10_000, "by": ()}
    assert Sample().rate == 0.01
    assert PipelineFile.model_validate({}).curation == {}


def test_a_manifest_of_another_form_is_refused() -> None:
    counts = Counts(pages=0, kept=0, dropped=0, dropped_by={}, tokens=0, characters=0)
    manifest = Manifest(
        gristmill="0", pipeline="p", description="", language="", recipe_sha256="", stages=(), publish={}, sample={},
        seed=0, files_used={}, libraries={}, inputs_root="", inputs=(), counts=counts, files=(),
    )  # fmt: skip
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    with pytest.raises(ValidationError, match="colour"):
        Manifest.model_validate({**manifest.model_dump(), "colour": "red"})
