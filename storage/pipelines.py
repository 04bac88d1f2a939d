"""pipelines.yaml on disk: found, read without doubt (no key twice) and validated, for curation and trainer alike."""

from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

import schemas
from schemas.recipe import PipelineFile

_SHOWN = 100
"""Characters of a value that an error tells."""
_WORDS = {"curation": "pipeline", "training": "trainer recipe"}


class PipelinesError(ValueError):
    """Something in pipelines.yaml or in a `--set` that can't be: what, where, and what is allowed."""


class _Unambiguous(yaml.SafeLoader):
    """YAML whose mappings name every key once; the usual loaders silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


def builtin_file() -> Path:
    """Where our own pipelines.yaml lies: at the top of a checkout, inside `schemas` of an installed wheel."""
    package = Path(schemas.__file__).parent
    return next(p for p in (package / "pipelines.yaml", package.parent / "pipelines.yaml") if p.is_file())


def find(reference: str) -> tuple[Path, str]:
    """The file and the entry that `name` (in our own file) or `FILE.yaml#name` (in the user's) stands for.

    Raises:
      PipelinesError: a file without a name.
    """
    file, hash_sign, name = reference.rpartition("#")
    if not hash_sign and Path(name).suffix in (".yaml", ".yml"):
        raise PipelinesError(f"{name!r} names a file; say which of its entries to run: {name}#NAME")
    return (Path(file) if hash_sign else builtin_file()), name


def parse(path: Path) -> PipelineFile:
    """Reads and validates a pipelines file.

    Raises:
      PipelinesError: the file is missing, is no YAML, or holds an unknown key or a wrong value.
    """
    return _validated(path, _read(path))


def pick(path: Path, kind: Literal["curation", "training"], name: str) -> PipelineFile:
    """The file with one entry alone; what is wrong in the others, or unknown to this version, is no matter.

    Raises:
      PipelinesError: the file is missing, is no YAML or has no such entry, or the entry holds what it may not.
    """
    raw = _read(path)
    found = _validated(path, _alone(raw, kind, name) if isinstance(raw, dict) else raw)
    if name not in getattr(found, kind):
        names = ", ".join(map(str, raw.get(kind, ()))) or "none"
        raise PipelinesError(f"{path} has no {_WORDS[kind]} {name!r}; it has {names}")
    return found


def _alone(raw: dict[Any, Any], kind: str, name: str) -> dict[Any, Any]:
    """Without the other entries; keys that are no kind stay, and are told."""
    entries = raw.get(kind, {})
    if isinstance(entries, dict):
        entries = {key: entry for key, entry in entries.items() if key == name}
    return {key: value for key, value in raw.items() if key not in _WORDS} | {kind: entries}


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Unambiguous) or {}  # noqa: S506 (a safe loader)
    except OSError as error:
        raise PipelinesError(f"the pipelines file {str(path)!r} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PipelinesError(f"the pipelines file {str(path)!r} is no YAML: {' '.join(str(error).split())}") from error


def _validated(path: Path, raw: Any) -> PipelineFile:
    try:
        return PipelineFile.model_validate(raw)
    except ValidationError as error:
        raise PipelinesError(f"{path}: {explain(error)}") from error


def value_of(setting: str) -> tuple[str, Any]:
    """Key and value of a `--set key=value`; the value is YAML.

    Raises:
      PipelinesError: no `=`, no key, or a value that is no YAML.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise PipelinesError(f"--set {setting!r}: key=value was expected")
    try:
        return key, yaml.load(text, _Unambiguous)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise PipelinesError(f"--set {setting!r}: the value is no YAML: {' '.join(str(error).split())}") from error


def explain(error: ValidationError, model: type[BaseModel] = PipelineFile) -> str:
    """The first fault of a validation of `model`: its path, value, what was expected, and the keys there are."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    allowed = ""
    if first["type"] == "extra_forbidden":
        fields = _at(model, first["loc"][:-1]).model_fields.items()
        allowed = f"; allowed are {', '.join(field.alias or name for name, field in fields)}"
    value = f" = {first['input']!r}"
    shown = value if len(value) < _SHOWN else ""  # a whole section: the words name what they mean
    return f"{where}{shown}: {first['msg'].removeprefix('Value error, ')}{allowed}"


def _at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that stands at a place inside another, through mappings, sequences, unions and annotations."""
    kind: Any = model
    for part in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = next((f for name, f in kind.model_fields.items() if part in (name, f.alias)), None)
            inner = _models(field.annotation) if field else []
            kind = inner[0] if inner else kind
    return cast(type[BaseModel], kind)


def _models(kind: Any) -> list[type[BaseModel]]:
    """The models named in a type, outermost first."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for argument in get_args(kind) for model in _models(argument)]
