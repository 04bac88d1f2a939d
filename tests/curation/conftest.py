"""A small run over documents of our own: three files, near-duplicates and short texts among them."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation.recipe import Recipe, resolve
from schemas.recipe import PipelineSpec
from tests.curation.own_stages import ShortTexts

PROSE = (
    "The miller wakes before the sun and opens the gate of the race so that the wheel begins to turn",
    "A letter came from the harbour yesterday and nobody in the house could say who had written it",
    "When the orchard was sold the bees stayed behind and the new owner learned to live with them",
    "There is a bridge of four arches below the village where children fish for trout in the spring",
    "Her grandfather kept a ledger of every storm that had crossed the valley since he was a boy",
)


@dataclass(frozen=True)
class Small:
    """Three JSONL files and a recipe: short_texts, minhash, pii."""

    folder: Path

    @property
    def inputs(self) -> list[str]:
        """A glob over the files."""
        return [f"{self.folder}/*.jsonl"]

    def recipe(self, *settings: str) -> Recipe:
        """With settings."""
        return resolve("small", SPEC, settings, {"short_texts": ShortTexts})


SPEC = PipelineSpec.model_validate(
    {"stages": [{"short_texts": {"min_characters": 20}}, {"minhash": {"scope": []}}, "pii"], "sample": {"rate": 0.5}}
)

FATES = {
    "a0": "kept", "a1": "kept", "a2": "short_texts", "b0": "kept", "b1": "minhash", "b2": "kept", "b3": "short_texts",
    "c0": "minhash", "c1": "kept", "c2": "short_texts",
}  # fmt: skip
"""Id -> what becomes of it: b1 and c0 repeat a0."""


def write_documents(folder: Path) -> None:
    """a.jsonl, b.jsonl and c.jsonl."""
    texts = {
        "a": [PROSE[0], PROSE[1], "short"],
        "b": [PROSE[2], PROSE[0], f"{PROSE[3]}, says me@mine.org", ""],
        "c": [PROSE[0] + ".", PROSE[4], "a"],
    }
    for name, lines in texts.items():
        rows = [
            {"text": text, "id": f"{name}{i}", "url": f"https://example.org/{name}/{i}", "n": i}
            for i, text in enumerate(lines)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """The documents, in a folder of this test's own."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_documents(folder)
    return Small(folder)
