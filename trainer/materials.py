"""What a recipe trains on, made from the data that is given: a tokenizer, segments, and the library over them."""

import itertools
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from schemas.chat import Conversation, Preference
from schemas.training import SourceSpec, TrainingSpec
from storage.paths import exists, join
from storage.registry import cache_folder
from trainer import arithmetic
from trainer.chat.importers import read_conversations, read_preferences
from trainer.chat.jsonl import files
from trainer.corpus import Corpus
from trainer.errors import ForeignError, TrainerError
from trainer.segments.cache import BlockCache
from trainer.segments.chat_origin import Made
from trainer.segments.library import Library
from trainer.segments.origin import MadeTexts, Origin
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.tokenize import Progress, make, tokenize
from trainer.tokenizer import bpe
from trainer.tokenizer.tokenizer import Tokenizer

ROWS_PER_TEXT = 20
"""Rows of a corpus that may be read for each text that the tokenizer is trained on."""
_COLUMNS = ("id", "language", "text")
_LEFT_OUT = ("metadata",)
"""What shards have besides and is large."""


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
    told = ", ".join(f"NAME {name}" if name else "one without a name" for name in sorted(names))
    return f"they read {told}" if told else "none reads any: what they learn is generated"


def trained_tokenizer(spec: TrainingSpec, data: Mapping[str, str]) -> Tokenizer:
    """One trained on a sample of the recipe's sources."""
    return Tokenizer.from_json(bpe.train(sample_texts(spec, data), spec.tokenizer))


def kept_tokenizer(folder: Path, make: Callable[[], Tokenizer]) -> Tokenizer:
    """The tokenizer that stands in a folder; made and saved where there is none. Killed, it leaves all or nothing."""
    if not folder.exists():
        half = folder.with_name(f".{folder.name}")
        shutil.rmtree(half, ignore_errors=True)
        make().save(half)
        half.rename(folder)
    return Tokenizer.load(folder)


def sample_texts(spec: TrainingSpec, data: Mapping[str, str]) -> Iterator[str]:
    """About `tokenizer.texts` texts, equally many of each data, chosen by hash; conversations give their contents."""
    origins = {(source.kind, source.data, source.generate): source for source in spec.sources.values()}
    share = -(-spec.tokenizer.texts // len(origins))
    for source in origins.values():
        if source.kind == "text" and not source.generate:
            yield from (text for _, text in sample_rows(data[source.data], share, spec.seed))
            continue
        items: Iterable[str | Conversation | Preference]
        if source.generate:
            items = _generated(source, spec.seed)
        else:
            read = read_conversations if source.kind == "chat" else read_preferences
            items = read(data[source.data])
        yield from (_contents(item) for item in itertools.islice(items, share))


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


def sample_rows(folder: str, wanted: int, seed: int) -> Iterator[tuple[str, str]]:
    """About `wanted` rows (language, text) of a curated folder, chosen by hash of the seed and the document's id.

    They come from as many shards, in a seeded order, as hold ROWS_PER_TEXT times as many rows. The language is empty
    where the folder says none.

    Raises:
      TrainerError: There is no such folder, or a shard has no ids or texts.
      IntegrityError: A shard is missing, or is not the one that the manifest names.
    """
    corpus, shards, rows = Corpus(folder), [], 0
    for shard in sorted(corpus.shards, key=lambda shard: _place(shard.path, seed)):
        shards.append(shard)
        rows += shard.rows
        if rows >= wanted * ROWS_PER_TEXT:
            break
    below = min(1.0, wanted / max(rows, 1)) * 2**64
    for shard in shards:
        for batch in corpus.rows(shard, leave_out=_LEFT_OUT):
            if missing := {"id", "text"} - set(batch.schema.names):
                raise TrainerError(
                    f"shard {shard.path!r} of {folder!r} has no column {sorted(missing)}; there are "
                    f"{batch.schema.names}"
                )
            for row in batch.select([name for name in _COLUMNS if name in batch.schema.names]).to_pylist():
                if row["text"] and _place(row["id"] or "", seed) < below:
                    yield row.get("language") or "", row["text"]


def _place(name: str, seed: int) -> int:
    """A hash of 64 bits that has nothing to do with those that shares of sources and held-out documents go by."""
    return xxhash.xxh3_64_intdigest(f"sample {seed} {name}".encode())


def _origin(source: SourceSpec, seed: int) -> Origin:
    place, made = f"{source.generate}, seed {seed}", _generated(source, seed)
    if source.kind == "text":
        return MadeTexts(made, place)
    return Made(made, source.kind, place, source.answers_only or source.kind == "preference")


def _generated(source: SourceSpec, seed: int) -> Sequence[Any]:
    """Texts, conversations or preferences, as the source's kind has it."""
    make: dict[str, Callable[..., Sequence[Any]]] = {
        "text": arithmetic.texts,
        "chat": arithmetic.conversations,
        "preference": arithmetic.preferences,
    }
    return make[source.kind](source.documents, seed, below=source.below)


def _contents(item: str | Conversation | Preference) -> str:
    if isinstance(item, str):
        return item
    messages = item.messages if isinstance(item, Conversation) else (*item.prompt, item.chosen, item.rejected)
    texts = (text for message in messages for text in (message.reasoning_content, message.content))
    return "\n".join(filter(None, texts))
