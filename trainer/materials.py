"""What a recipe trains on, made from the data that is given: segments, and the library over them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.training import SourceSpec, TrainingSpec
from storage.paths import exists, join
from storage.registry import cache_folder
from trainer import arithmetic
from trainer.chat.jsonl import files
from trainer.corpus import Corpus
from trainer.errors import ForeignError, TrainerError
from trainer.segments.cache import BlockCache
from trainer.segments.chat_origin import Made
from trainer.segments.library import Library
from trainer.segments.origin import MadeTexts, Origin
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.tokenize import Progress, make, tokenize
from trainer.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Materials:
    """All that a stage's plan is made from."""

    tokenizer: Tokenizer
    library: Library
    folders: Mapping[str, int]
    """Source -> number of its folder in the library."""

    @property
    def keys(self) -> dict[str, str]:
        """Source -> key of its segments: what identifies the data of a run."""
        return {source: self.library.folders[n].manifest.key for source, n in self.folders.items()}


def check(spec: TrainingSpec, data: Mapping[str, str]) -> None:
    """Every source has its data, and every data its source.

    Args:
      spec: The recipe.
      data: Name -> path, as given; the empty name is data without one.

    Raises:
      TrainerError: One is missing, not used, or no data.
      StorageError: One can't be read.
    """
    wanted = {source.data: name for name, source in spec.sources.items() if not source.generate}
    for name, wanting in wanted.items():
        if name not in data:
            raise TrainerError(f"source {wanting!r} of the recipe has no data; {_missing(name, wanted, data)}")
    if unused := sorted(set(data) - set(wanted)):
        given = f"{unused[0]}={data[unused[0]]}" if unused[0] else data[unused[0]]
        raise TrainerError(f"no source of the recipe reads --data {given}; {_reading(wanted)}")
    for source in spec.sources.values():
        if source.generate:
            continue
        if source.kind == "text":
            Corpus(data[source.data])
        else:
            files(data[source.data])


def _missing(name: str, wanted: Collection[str], data: Mapping[str, str]) -> str:
    """How to give what is missing, and what was given instead."""
    if name:
        flag = f"give --data {name}=PATH"
    elif spare := [other for other in data if other not in wanted]:
        flag = f"it reads the data given without a name: --data DIR, not --data {spare[0]}=DIR"
    else:
        flag = "give --data DIR"
    given = ", ".join(f"{n}=…" if n else "one without a name" for n in data) or "none"
    return f"{flag} (given: {given})"


def _reading(names: Iterable[str]) -> str:
    listed = ", ".join(f"NAME {name}" if name else "one without a name" for name in sorted(names))
    return f"they read {listed}" if listed else "none reads any: what they learn is generated"


def gather(
    spec: TrainingSpec,
    data: Mapping[str, str],
    tokenizer: Tokenizer,
    segments: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Materials:
    """Tokenises what is not tokenised yet, and opens it all.

    Args:
      spec: The recipe.
      data: Name -> path.
      tokenizer: Of the run.
      segments: The folder of folders of segments; empty: `segments` in Gristmill's cache.
      progress: Told as it goes on.
    """
    root = _root(segments)
    paths: dict[str, str] = {}
    for name, source in spec.sources.items():
        if source.generate:
            paths[name] = make(_origin(source, spec.seed), tokenizer, root, progress=progress)
        else:
            paths[name] = tokenize(
                data[source.data],
                source.kind,
                tokenizer,
                root,
                progress=progress,
                answers_only=source.answers_only,
            )
    distinct = list(dict.fromkeys(paths.values()))
    cache = BlockCache()  # one for all: its size is the run's
    library = Library([Segments.open(path, cache) for path in distinct])
    return Materials(tokenizer, library, {name: distinct.index(path) for name, path in paths.items()})


def by_stage(keys: Mapping[str, Mapping[str, str]], given: Materials, segments: str = "") -> dict[str, Materials]:
    """What each stage is made from: the data that is given, or other segments that it began with and that still stand.

    Args:
      keys: Stage -> source -> key of its segments.
      given: Made from the data that is given.
      segments: As `gather` has it.

    Raises:
      ForeignError: A stage began with segments that are gone.
    """
    return {
        stage: given if wanted == given.keys else _reopened(stage, wanted, given, _root(segments))
        for stage, wanted in keys.items()
    }


def generated(source: SourceSpec, seed: int) -> Sequence[Any]:
    """Texts, conversations or preferences, as the source's kind has it."""
    make: dict[str, Callable[..., Sequence[Any]]] = {
        "text": arithmetic.texts,
        "chat": arithmetic.conversations,
        "preference": arithmetic.preferences,
    }
    return make[source.kind](source.documents, seed, below=source.below)


def _reopened(stage: str, keys: Mapping[str, str], given: Materials, root: str) -> Materials:
    """Segments by their keys, those that are open already as they are."""
    folders = {folder.manifest.key: folder for folder in given.library.folders}
    for source, key in keys.items():
        if key in folders:
            continue
        if not exists(join(root, key, MANIFEST)):
            raise ForeignError(
                f"stage {stage!r} began with segments {key!r} of source {source!r}, the data given now is another, and "
                f"{join(root, key)!r} is gone; give the data that it began with until the stage is over, another "
                "--output, or --fresh to start anew there"
            )
        folders[key] = Segments.open(join(root, key), given.library.folders[0].cache)
    distinct = list(dict.fromkeys(keys.values()))
    library = Library([folders[key] for key in distinct])
    return Materials(given.tokenizer, library, {source: distinct.index(key) for source, key in keys.items()})


def _root(segments: str) -> str:
    return segments or str(cache_folder() / "segments")


def _origin(source: SourceSpec, seed: int) -> Origin:
    place, made = f"{source.generate}, seed {seed}", generated(source, seed)
    if source.kind == "text":
        return MadeTexts(made, place)
    return Made(made, source.kind, place, source.answers_only or source.kind == "preference")
