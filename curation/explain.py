"""What became of a page, and every rule's value and margin, by reading it again from its place in the input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.child import Died
from curation.from_page import as_document, plain_text
from curation.inputs import InputsError, source_at
from curation.judge import JudgeSpec, glances, load_stages, run_stage
from curation.ledger import url_hash
from curation.output import Output
from curation.readers import page_at
from curation.recipe import Recipe
from curation.steps import Step, gates
from curation.supervised import supervised
from schemas.manifest import Manifest
from schemas.records import Document, Fault, Measurement, Page
from schemas.stage import Dedup, Extract
from storage.paths import listdir, open_read


class NoPageError(LookupError):
    """A run's ledger knows no page of the name asked for."""


class MeasureError(RuntimeError):
    """The page ends every child that measures it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What one stage made of the page; a stage with a gate says so once before `extract`."""

    stage: str
    measured: tuple[Measurement, ...] = ()
    fault: Fault | None = None
    characters: int = 0
    """Of the text after the stage."""
    language: str = ""
    language_score: float = 0.0
    gate: bool = False


@dataclass(frozen=True, slots=True)
class Explainer:
    """Runs every document stage over a page, whatever the verdicts; built in the child."""

    spec: JudgeSpec

    def __call__(self) -> "_Walk":
        return _Walk(load_stages(self.spec.steps, self.spec.files))


class _Walk:
    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._gates = gates(steps)

    def __call__(self, page: Page) -> list[Explained]:
        return list(self._walk(page))

    def _walk(self, page: Page) -> Iterator[Explained]:
        if page.fault is not None:
            yield Explained("read", fault=page.fault)
            return
        extracts = any(isinstance(step.stage, Extract) for step in self._steps)
        made: Document | Fault = as_document(page) if extracts else plain_text(page)
        for step in self._steps:
            if isinstance(made, Fault):
                break
            if isinstance(step.stage, Extract):
                opened = step.stage.open(page)
                for gate, seen, m in glances(opened, made, self._gates):
                    yield Explained(gate.name, (m,), None, len(seen.text), seen.language, seen.language_score, True)
                made = opened if isinstance(opened, Fault) else opened.document()
                if isinstance(made, Document):
                    yield Explained(step.name, characters=len(made.text))
            else:
                made, measured = run_stage(step, made, whole=True)
                yield Explained(step.name, tuple(measured), None, len(made.text), made.language, made.language_score)
        if isinstance(made, Fault):
            yield Explained("extract", fault=made)


def find(output: Output, url: str) -> list[dict[str, Any]]:
    """Ledger rows of a URL (or of a page id).

    Raises:
      NoPageError: no page of that URL or id.
    """
    rows: list[dict[str, Any]] = []
    wanted = pa.scalar(url_hash(url), pa.uint64())
    for name in listdir(output.at("ledger")):
        with open_read(output.at("ledger", name)) as file:
            keys = pq.read_table(file, columns=["url_hash", "id"])
            if pc.any(pc.or_(pc.equal(keys["url_hash"], wanted), pc.equal(keys["id"], url))).as_py():
                rows += [row for row in pq.read_table(file).to_pylist() if url in (row["url"], row["id"])]
    if not rows:
        raise NoPageError(f"{output.path!r} has no page with the URL or id {url!r}; give it as the ledger has it")
    return rows


def clusters_of(output: Output, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the clusters that the page of a ledger row belongs to. Ids may be shared: its place is compared too."""
    rows: list[dict[str, Any]] = []
    for name in listdir(output.at("clusters")):
        with open_read(output.at("clusters", name)) as file:
            table = pq.read_table(file)
        same = [pc.equal(table[name], row[name]) for name in ("id", "path", "offset")]
        rows += table.filter(reduce(pc.and_, same)).to_pylist()
    return rows


def measure(row: dict[str, Any], manifest: Manifest, recipe: Recipe) -> list[Explained]:
    """Reads the page of a ledger row again and measures it by every stage.

    Raises:
      InputsError: the input is no longer what it was.
      MeasureError: the page kills its child.
    """
    entry = next(e for e in manifest.inputs if e.name == row["path"])
    page = page_at(source_at(entry.path, name=entry.name), row["offset"])
    if page is None:
        raise InputsError(f"{entry.path!r} has no page at {row['offset']}: the input changed since the run")
    steps = tuple(step for step in recipe.steps if not isinstance(step.stage, Dedup))
    spec = JudgeSpec(steps, recipe.sampling, recipe.seed, True, manifest.files_used)
    with supervised(Explainer(spec)) as child:
        ((_, explained),) = child.map([page])
    if isinstance(explained, Died):
        raise MeasureError(
            f"the page can't be measured: {explained.reason} ({explained.value:g}, allowed {explained.threshold:g})"
        )
    return explained
