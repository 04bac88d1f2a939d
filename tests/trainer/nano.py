"""Small curated folders, a recipe of some twenty steps, and runs of it in the test's own process."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from schemas.training import TrainingSpec
from tests.trainer.curated import document, write
from trainer.recipe import load
from trainer.segments.tokenize import Progress
from trainer.train.metrics import Row
from trainer.train.run import train
from trainer.train.start import Options

_WORDS = {
    "en": """the miller carries grain from field to mill and every wheel turns slowly while water falls over stone
        under old bridges where children watch boats drift past gardens until evening bells call them home again""",
    "ko": """방앗간 주인은 들에서 곡식을 나르고 물이 돌 위로 떨어지는 동안 바퀴가 천천히 돈다 아이들은 낡은 다리 아래로
        배가 지나가는 것을 바라보다가 저녁 종이 울리면 다시 집으로 돌아간다""",
}


def prose(number: int, language: str = "en", words: int = 90) -> str:
    """A text of sentences, another for every number, in which words lead to words."""
    random = np.random.default_rng([number, len(language)])
    vocabulary = _WORDS[language].split()
    found, at = [], int(random.integers(len(vocabulary)))
    for _ in range(words):
        found.append(vocabulary[at])
        at = (at + int(random.choice([1, 1, 1, 2, 5, 11]))) % len(vocabulary)
    return ". ".join(" ".join(found[n : n + 9]).capitalize() for n in range(0, words, 9)) + "."


def corpus(folder: Path, documents: int, first: int = 0, shards: int = 2) -> Path:
    """A curated folder, two thirds of it English."""
    rows = []
    for number in range(first, first + documents):
        language = "ko" if number % 3 == 2 else "en"
        url = f"https://{language}.example.org/{number}"
        rows.append(document(number, prose(number, language), language=language, url=url))
    return write(folder, [rows[part::shards] for part in range(shards)], rows_per_group=50)


def spec(**changes: Any) -> TrainingSpec:
    """Two stages: a ramp of lengths, then longer rows behind a gate, averaged."""
    first = {
        "name": "first",
        "mix": {"web": 1},
        "tokens": 3000,
        "seq_len": [[0, 16], [1000, 24]],
        "batch": 256,
        "lr": {"shape": "linear", "from": 0.01, "to": 0.001},
    }
    longer = {"name": "second", "tokens": 1500, "seq_len": 32, "rope": {"factor": 2}}
    second = {**first, **longer, "average": True, "gate": {"recovered": 2.0}}
    base = {
        "model": {"family": "llama", "layers": 1, "dim": 16, "heads": 2, "ffn_dim": 32, "context": 16},
        "tokenizer": {"vocab_size": 320, "texts": 60},
        "sources": {"web": {}},
        "held_out": 0.1,
        "precision": "float32",
        "compile": False,
        "checkpoint_every": 0.1,
        "stages": [first, second],
    }
    return TrainingSpec.model_validate({**base, **changes})


def recipe(name: str) -> TrainingSpec:
    """One of pipelines.yaml; all checkpoints stay, so that a test can count them."""
    return load(name, ["keep_checkpoints=1000"])[1]


def changed(one: TrainingSpec, stage: int, **changes: Any) -> TrainingSpec:
    """The recipe with a stage that differs."""
    raw = one.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["stages"][stage].update(changes)
    return TrainingSpec.model_validate(raw)


@dataclass
class Watch:
    """Remembers what it is told, and acts on rows."""

    act: Callable[[Row], None] = lambda _: None
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tokenizing: list[Progress] = field(default_factory=list)
    totals: set[int] = field(default_factory=set)

    def note(self, words: str) -> None:
        self.notes.append(words)

    def tokenized(self, progress: Progress) -> None:
        self.tokenizing.append(progress)

    def row(self, row: Row, timing: Mapping[str, Any], total: int) -> None:
        self.rows.append(row)
        self.totals.add(total)
        self.act(row)


@dataclass(frozen=True)
class Made:
    """A run's output, and what it was made from."""

    output: Path
    data: Path
    segments: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of metrics.jsonl."""
        return lines(self.output / "metrics.jsonl")

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / "summary.json").read_bytes())
        return found

    def go(self, one: TrainingSpec, watch: Watch | None = None, **options: Any) -> bool:
        """Trains, or goes on; with the folder as the data without a name where a source reads it."""
        data = {"": str(self.data)} if any(not source.generate for source in one.sources.values()) else {}
        chosen = dataclasses.replace(Options(segments=str(self.segments), device="cpu"), **options)
        return train("tiny", one, data, self.output, chosen, watch or Watch())


def lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def losses(rows: list[dict[str, Any]]) -> list[tuple[int, int, float]]:
    """What must be equal however often a run was stopped."""
    return [(row["step"], row["tokens"], row["loss"]) for row in rows]
