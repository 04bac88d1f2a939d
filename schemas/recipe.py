"""Models of pipelines.yaml, before the stages' own parameters are resolved."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.training import TrainingSpec


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSpec(_Strict):
    """One stage of a pipeline: its registry name, and the parameters that differ from the stage's defaults."""

    name: str
    enabled: bool = True
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        """`name` or `name: {param: value, enabled: false}`, beside the fields themselves."""
        return _stage_entry(value)


class Publish(_Strict):
    """How shards are cut."""

    rows_per_part: Annotated[int, Field(ge=1)] = 500_000
    rows_per_group: Annotated[int, Field(ge=1)] = 10_000
    by: tuple[Literal["language", "dump"], ...] = ()
    """Columns that separate parts; their values prefix the parts' names."""


class Sample(_Strict):
    """What is recorded besides verdicts."""

    rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of pages, chosen by hash of (seed, id), that take the full path whatever the verdicts say."""
    signals: Literal["sampled", "all"] = "sampled"
    dropped_texts: Literal["sampled", "all"] = "sampled"
    dropped_per_reason: Annotated[int, Field(ge=0)] = 300
    examples_per_reason: Annotated[int, Field(ge=0)] = 3


class PipelineSpec(_Strict):
    """A curation pipeline as written in pipelines.yaml."""

    description: str = ""
    language: str = ""
    """A FineWeb-2 label such as `kor_Hang`: stages take that language's published thresholds as their defaults."""
    seed: int = 0
    stages: tuple[StageSpec, ...]
    publish: Publish = Publish()
    sample: Sample = Sample()

    @field_validator("stages", mode="before")
    @classmethod
    def _some_stages(cls, value: Any) -> Any:
        """A list of at least one."""
        if not isinstance(value, list) or not value:
            raise ValueError(f"a list of stages, one at least, was expected, not {value!r}")
        return value


class PipelineFile(_Strict):
    """The whole file: named runs by kind."""

    curation: dict[str, PipelineSpec] = Field(default_factory=dict)
    training: dict[str, TrainingSpec] = Field(default_factory=dict)


def _stage_entry(entry: Any) -> Any:
    if isinstance(entry, str):
        return {"name": entry}
    if not isinstance(entry, dict) or set(entry) <= set(StageSpec.model_fields):
        return entry
    if len(entry) > 1:
        raise ValueError(f"one stage's name was expected, not the keys {', '.join(map(str, entry))}")
    ((name, params),) = entry.items()
    if not isinstance(params, dict | None):
        raise ValueError(f"{name}: a mapping of parameters was expected, such as {{enabled: false}}, not {params!r}")
    params = dict(params or {})
    return {"name": name, "enabled": params.pop("enabled", True), "params": params}
