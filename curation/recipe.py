"""pipelines.yaml to a resolved recipe: every stage an instance, every parameter known, one hash over all of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from classifiers.language import Language
from curation import by_language, fineweb2
from curation.hashing import digest
from curation.judged import Sampling
from curation.registry import stages as known_stages
from curation.steps import Level, Step, cut_levels, library_versions, misplaced
from schemas.manifest import Manifest, StageEntry
from schemas.recipe import PipelineSpec, Publish, Sample, StageSpec
from schemas.stage import Stage
from storage.pipelines import PipelinesError, explain, find, pick, value_of
from text.words import UNICODE, segmenter


class RecipeError(PipelinesError):
    """A pipeline that can't be: what, where, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pipeline ready to run."""

    name: str
    description: str
    language: str
    seed: int
    entries: tuple[StageEntry, ...]
    """Disabled stages included, for the manifest."""
    steps: tuple[Step, ...]
    publish: Publish
    sample: Sample
    deviations: tuple[str, ...]

    def files(self) -> tuple[str, ...]:
        """Names of all models and lists that enabled stages need, sorted."""
        return tuple(sorted({name for step in self.steps for name in step.stage.files()}))

    def libraries(self) -> dict[str, str]:
        """Distribution -> installed version, of all whose output reaches hashed bytes."""
        return library_versions(self.steps)

    @property
    def sampling(self) -> Sampling:
        """What a child has to know of `sample`."""
        return Sampling(self.sample.rate, self.sample.dropped_per_reason, self.sample.dropped_texts == "all")

    def levels(self) -> tuple[Level, ...]:
        """The stages cut behind each dedup stage; the last level has none."""
        return cut_levels(self.steps)

    def sha256(self, files: Mapping[str, str]) -> str:
        """Hash over everything that decides the output: stages, parameters, versions, models and lists.

        Args:
          files: model or list name -> its sha256.
        """
        return digest(
            {
                "stages": [entry.model_dump(mode="json") for entry in self.entries if entry.enabled],
                "each": [step.name for step in self.steps if step.each],
                "publish": self.publish.model_dump(mode="json"),
                "sample": self.sample.model_dump(mode="json"),
                "seed": self.seed,
                "files": dict(files),
                "libraries": self.libraries(),
            }
        )

    def parameters(self, files: Mapping[str, str]) -> dict[str, Any]:
        """What `sha256` hashes, flat and in the recipe's order, by the names that `--set` has for them.

        Args:
          files: model or list name -> its sha256.
        """
        found: dict[str, Any] = {"seed": self.seed}
        for entry in self.entries:
            found[f"{entry.name}.enabled"] = entry.enabled
            if entry.enabled:
                found[f"{entry.name}.version"] = entry.version
                found |= {f"{entry.name}.{key}": value for key, value in entry.params.items()}
        found["stages"] = [step.name for step in self.steps]
        found["by language"] = [step.name for step in self.steps if step.each]
        found |= {f"publish.{key}": value for key, value in self.publish.model_dump(mode="json").items()}
        found |= {f"sample.{key}": value for key, value in self.sample.model_dump(mode="json").items()}
        return found | {f"sha256 of {name}": value for name, value in files.items()} | self.libraries()


def params(stage: Stage) -> dict[str, Any]:
    """A stage's parameters, JSON-able. Fields that begin with `_` hold what `setup` loaded and are none.

    Each as its field's type has it: a `float` of 3 is 3.0, be it a default or given, so that both hash alike.
    """
    hints = get_type_hints(type(stage))
    names = [f.name for f in dataclasses.fields(stage) if f.name[0] != "_"]  # type: ignore[arg-type]
    typed = {name: TypeAdapter(hints[name]).validate_python(getattr(stage, name)) for name in names}
    return {name: TypeAdapter(Any).dump_python(value, mode="json") for name, value in typed.items()}


def load(reference: str) -> tuple[str, PipelineSpec]:
    """Finds a pipeline by name in our own file, or as `FILE.yaml#name` in the user's.

    Raises:
      PipelinesError: no such file or pipeline, or an entry that does not validate; it says where and what is allowed.
    """
    path, name = find(reference)
    return name, pick(path, "curation", name).curation[name]


def resolve(
    name: str, spec: PipelineSpec, settings: Sequence[str] = (), extra: Mapping[str, type[Stage]] | None = None
) -> Recipe:
    """Makes the recipe: defaults of the stage, then the language's published ones, then the file's, then `settings`.

    Args:
      name: the pipeline's name, for errors and the manifest.
      spec: as parsed.
      settings: `key=value` (language, seed, publish.*, sample.*) or `stage.key=value`; values are YAML.
      extra: stages beyond the registry, by name.

    Raises:
      RecipeError: an unknown stage, key or language, or a value of the wrong kind.
    """
    spec = _apply(name, spec, settings)
    return _assemble(name, spec, {**known_stages(), **(extra or {})}, _language_defaults(name, spec))


def _assemble(
    name: str, spec: PipelineSpec, known: Mapping[str, type[Stage]], defaults: Mapping[str, Mapping[str, Any]]
) -> Recipe:
    each = spec.language == by_language.EACH
    entries: list[StageEntry] = []
    steps: list[Step] = []
    for entry in spec.stages:
        if entry.name not in known:
            raise RecipeError(f"{name}: unknown stage {entry.name!r}; known are {', '.join(known)}")
        if any(other.name == entry.name for other in entries):
            raise RecipeError(f"{name}: the stage {entry.name!r} stands twice; a stage may stand once")
        stage = _build(name, entry, known[entry.name], defaults.get(entry.name, {}))
        entries.append(StageEntry(name=entry.name, enabled=entry.enabled, version=stage.version, params=params(stage)))
        if entry.enabled:
            steps.append(Step(entry.name, stage, each and by_language.depends(entry.name)))
    for fault in misplaced(steps):
        raise RecipeError(f"{name}: {fault}")
    if any(step.each for step in steps):
        try:
            by_language.require()
        except ImportError as error:
            raise RecipeError(f"{name}: language = {spec.language!r}: {error}") from error
    deviations = tuple(f"{step.name}: {words}" for step in steps for words in step.stage.deviations())
    if any(step.each for step in steps):
        deviations += (f"languages other than English and Korean: {segmenter(UNICODE).deviation}",)
    return Recipe(
        name=name,
        description=spec.description,
        language=spec.language,
        seed=spec.seed,
        entries=tuple(entries),
        steps=tuple(steps),
        publish=spec.publish,
        sample=spec.sample,
        deviations=deviations,
    )


def rebuild(manifest: Manifest, extra: Mapping[str, type[Stage]] | None = None) -> Recipe:
    """The recipe of a finished run, from its manifest.

    Raises:
      RecipeError: a stage of it is unknown here, or has another version.
    """
    entries = tuple(StageSpec(name=e.name, enabled=e.enabled, params=e.params) for e in manifest.stages)
    spec = PipelineSpec.model_construct(
        description=manifest.description,
        seed=manifest.seed,
        stages=entries,
        publish=Publish.model_validate(manifest.publish),
        sample=Sample.model_validate(manifest.sample),
        language=by_language.EACH if manifest.language == by_language.EACH else "",  # else it stands in the parameters
    )
    known = {**known_stages(), **(extra or {})}
    for entry in manifest.stages:
        if entry.enabled and entry.name in known and known[entry.name].version != entry.version:
            raise RecipeError(
                f"{manifest.pipeline}: the stage {entry.name!r} was version {entry.version} in that run and is "
                f"{known[entry.name].version} here; install gristmill {manifest.gristmill}"
            )
    return _assemble(manifest.pipeline, spec, known, {})


def _apply(name: str, spec: PipelineSpec, settings: Sequence[str]) -> PipelineSpec:
    """Lays `--set` over the file's values and validates again."""
    raw = spec.model_dump(mode="json", exclude_unset=True)
    raw["stages"] = [entry.model_dump(mode="json") for entry in spec.stages]
    stages = {entry["name"]: entry for entry in raw["stages"]}
    for setting in settings:
        key, value = value_of(setting)
        head, _, rest = key.partition(".")
        if head in stages and rest == "enabled":
            stages[head]["enabled"] = value
        elif head in stages and rest:
            stages[head]["params"][rest] = value
        elif head in ("publish", "sample") and rest:
            raw.setdefault(head, {})[rest] = value
        elif head in ("language", "seed") and not rest:
            raw[head] = value
        else:
            raise RecipeError(
                f"--set {setting!r}: {name} has no {key!r}; it has language, seed, publish.*, sample.* "
                f"and the stages {', '.join(stages)}"
            )
    raw["stages"] = [{s["name"]: {**s["params"], "enabled": s["enabled"]}} for s in raw["stages"]]
    try:
        return PipelineSpec.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{name}: {explain(error, PipelineSpec)}") from error


def _language_defaults(name: str, spec: PipelineSpec) -> dict[str, dict[str, Any]]:
    """FineWeb-2's numbers for the recipe's language, by stage."""
    if spec.language in ("", by_language.EACH):
        return {}
    try:
        defaults = fineweb2.stage_defaults(spec.language)
    except ValueError as error:
        raise RecipeError(f"{name}: language={spec.language!r}: {error}") from error
    defaults["language"]["languages"] = (spec.language,)
    own = next((entry.params for entry in spec.stages if entry.name == "language"), {})
    if own.get("model", Language.model) != "glotlid":
        defaults["language"].pop("min_score", None)  # a threshold of GlotLID's scores says nothing of another model's
    return defaults


def _build(name: str, entry: StageSpec, kind: type[Stage], defaults: Mapping[str, Any]) -> Stage:
    """A stage instance from defaults and the entry's parameters, each checked against its field's type."""
    where = f"{name}: {entry.name}"
    hints = get_type_hints(kind)
    allowed = [f.name for f in dataclasses.fields(kind) if f.name[0] != "_"]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in {**{k: v for k, v in defaults.items() if k in allowed}, **entry.params}.items():
        if key not in allowed:
            raise RecipeError(f"{where}.{key} = {value!r}: no such parameter; it has {', '.join(allowed) or 'none'}")
        try:
            several = get_origin(hints[key]) is tuple and isinstance(value, str)  # --set stage.key=one
            values[key] = TypeAdapter(hints[key]).validate_python([value] if several else value)
        except ValidationError as error:
            raise RecipeError(f"{where}.{key} = {value!r}: {error.errors()[0]['msg']}") from error
    try:
        return kind(**values)
    except (ImportError, TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {error}") from error
