"""The manifest of a finished run, from what its phases left."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib.metadata import version

from curation.inputs import Given
from curation.ledger import LedgerError
from curation.levels import Levels, TaskState
from curation.parts import Published
from curation.recipe import Recipe
from curation.steps import gates
from curation.tally import Tally
from schemas.manifest import Counts, GateEntry, GateSample, InputEntry, Manifest


def manifest_of(
    recipe: Recipe, files: dict[str, str], given: Given, levels: Levels, published: Published, tally: Tally
) -> Manifest:
    """The manifest.

    Args:
      recipe: what ran.
      files: model or list -> sha256.
      given: what was read.
      levels: after their run.
      published: the parts.
      tally: merged over all tasks.

    Raises:
      LedgerError: pages and ledger rows differ.
    """
    return Manifest(
        gristmill=version("gristmill"),
        pipeline=recipe.name,
        description=recipe.description,
        language=recipe.language,
        recipe_sha256=recipe.sha256(files),
        stages=recipe.entries,
        publish=recipe.publish.model_dump(mode="json"),
        sample=recipe.sample.model_dump(mode="json"),
        seed=recipe.seed,
        files_used=files,
        libraries=recipe.libraries(),
        deviations=recipe.deviations,
        inputs_root=given.root,
        inputs=_inputs(given, levels),
        counts=_counts(levels.states, published, tally),
        gates=_gates(recipe, published),
        retries=_retries(levels),
        files=published.files,
    )


def _inputs(given: Given, levels: Levels) -> tuple[InputEntry, ...]:
    """Every input file, by name."""
    read = {source.name: source for source in given.sources}
    pages: Counter[str] = Counter()
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    faults: dict[str, Counter[str]] = defaultdict(Counter)
    for state in levels.states:
        name = state.task.source.name
        read[name] = state.task.source  # files that an index names are none of the given ones
        pages[name] += state.pages
        skipped[name].update(state.facts[0]["skipped"])
        faults[name].update(state.facts[0]["faults"])
    return tuple(
        InputEntry(
            name=name,
            path=source.path,
            bytes=source.size,
            etag=source.etag,
            pages=pages[name],
            skipped=dict(sorted(skipped[name].items())),
            faults=dict(sorted(faults[name].items())),
            error=levels.failed.get(name, ""),
        )
        for name, source in sorted(read.items())
    )


def _counts(states: Sequence[TaskState], published: Published, tally: Tally) -> Counts:
    """in = kept + dropped."""
    pages = sum(state.pages for state in states)
    dropped = sum(n for reasons in published.dropped_by.values() for n in reasons.values())
    if pages != published.kept + dropped:
        raise LedgerError(f"{pages} pages were read, {published.kept} kept and {dropped} dropped; please report this")
    return Counts(
        pages=pages,
        kept=published.kept,
        dropped=dropped,
        dropped_by=published.dropped_by,
        tokens=tally.tokens,
        characters=tally.characters,
    )


def _gates(recipe: Recipe, published: Published) -> tuple[GateEntry, ...]:
    """Every gate that was on, in pipeline order."""
    return tuple(
        GateEntry(
            stage=gate.name,
            reason=gate.stage.gate_reason,
            threshold=gate.threshold,
            dropped=published.dropped_by.get(gate.name, {}).get(gate.stage.gate_reason, 0),
            sample=GateSample(**published.gates[gate.name]),
        )
        for gate in gates(recipe.steps)
    )


def _retries(levels: Levels) -> dict[str, int]:
    """Pages that met a limit, by outcome."""
    retries = Counter({f"unsigned_{reason}": n for reason, n in levels.unsigned.items()})
    for state in levels.states:
        for facts in state.facts:
            retries.update(facts["retries"])
    return dict(sorted(retries.items()))
