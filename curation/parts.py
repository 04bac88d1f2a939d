"""Cuts what the levels left into parts of the output, and has them made and placed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from curation.documents import read_tables
from curation.hashing import digest, job_id
from curation.jobs import Job, Marker
from curation.levels import DedupResult, TaskState, signal_names
from curation.output import FOLDERS, Output, entries
from curation.phases import PhaseRunner
from curation.publish import Publish
from curation.recipe import Recipe
from curation.steps import gates
from schemas.manifest import FileEntry
from storage.copies import place
from storage.paths import join, safe_name

LEDGER_ROWS_PER_PART = 1_000_000

SECONDS_PER_PAGE = 0.0005
"""Of writing ledger, signals and shards."""


@dataclass(frozen=True, slots=True)
class Published:
    """What publish made."""

    files: tuple[FileEntry, ...]
    kept: int
    dropped_by: dict[str, dict[str, int]]
    tallies: tuple[dict[str, Any], ...]
    gates: dict[str, Counter[str]]
    """Gate -> what it would have done to the sampled pages (`curation.false_loss`)."""


def publish(
    recipe: Recipe, states: Sequence[TaskState], dedups: Sequence[DedupResult], runner: PhaseRunner, out: Output
) -> Published:
    """Makes every part and places it; removes parts that are none of this run's.

    Args:
      recipe: says how parts are cut.
      states: tasks after the last level, in order.
      dedups: what the dedup stages decided.
      runner: brings the phase to its end.
      out: where parts go.
    """
    names = tuple(dict.fromkeys(name for level in recipe.levels() for name in signal_names(level)))
    phase = _phase(recipe, names, join(runner.work, "publish"))
    payloads = [
        *_shards(recipe, states),
        *_by_tasks("ledger", states, _ledger_task),
        *_clusters(dedups),
        *_by_tasks("signals", states, _signals_task),
        {"kind": "dropped", "name": part_name(0, 1), "files": [path for s in states for path in s.dropped]},
    ]
    cuts = [recipe.publish.model_dump(mode="json"), recipe.sample.model_dump(mode="json"), recipe.seed, names]
    depends = digest([cuts, recipe.libraries(), [state.depends for state in states]])
    jobs = [Job(job_id(payload, depends), i, payload) for i, payload in enumerate(payloads)]
    made: list[tuple[str, str, Marker]] = []
    seconds = SECONDS_PER_PAGE * sum(state.pages for state in states)
    for payload, marker in zip(payloads, runner.run(phase, jobs, seconds=seconds), strict=True):
        assert marker is not None, "publish reads no input"
        made.append((payload["kind"], payload["name"], marker))
        place(join(phase.folder, marker.files["part"].name), out.at(payload["kind"], payload["name"]))
    for folder in FOLDERS:
        out.sweep(folder, [name for kind, name, _ in made if kind == folder])
    return _summary(recipe, made)


def _phase(recipe: Recipe, signal_names: tuple[str, ...], folder: str) -> Publish:
    return Publish(
        folder,
        recipe.publish.rows_per_group,
        recipe.seed,
        recipe.sample.examples_per_reason,
        None if recipe.sample.dropped_texts == "all" else recipe.sample.dropped_per_reason,
        signal_names,
        recipe.sample.signals == "all",
        {gate.name: (gate.signal, gate.threshold) for gate in gates(recipe.steps)},
    )


def _summary(recipe: Recipe, made: Sequence[tuple[str, str, Marker]]) -> Published:
    files = entries((kind, name, m.files["part"], m.facts["rows"]) for kind, name, m in made)
    kept, dropped = 0, Counter[tuple[str, str]]()
    lost = {gate.name: Counter[str]() for gate in gates(recipe.steps)}
    for _, _, marker in made:
        for outcome, stage, reason, n in marker.facts.get("counts", ()):
            if outcome == "kept":
                kept += n
            else:
                dropped[stage, reason] += n
        for name, counts in marker.facts.get("gates", {}).items():
            lost[name].update(counts)
    order = {step.name: i for i, step in enumerate(recipe.steps)}
    by: dict[str, dict[str, int]] = {}
    for (stage, reason), n in sorted(dropped.items(), key=lambda item: (order.get(item[0][0], -1), item[0])):
        by.setdefault(stage, {})[reason] = n
    return Published(files, kept, by, tuple(m.facts["tally"] for _, _, m in made if "tally" in m.facts), lost)


def part_name(index: int, parts: int, group: dict[str, str] | None = None) -> str:
    """`part-00012-of-00064.parquet`, the group's values before it."""
    prefix = "".join(f"{safe_name(value or 'none')}-" for value in (group or {}).values())
    return f"{prefix}part-{index:05d}-of-{parts:05d}.parquet"


def _shards(recipe: Recipe, states: Sequence[TaskState]) -> Iterator[dict[str, Any]]:
    """Kept documents in order, cut by rows, each group of `publish.by` apart."""
    groups: dict[tuple[str, ...], list[tuple[TaskState, int]]] = {}
    for state in states:
        for key, rows in _group_rows(state, recipe.publish.by).items():
            groups.setdefault(key, []).append((state, rows))
    for key, counts in sorted((groups or {(): []}).items()):  # readers want a file even where nothing was kept
        group: dict[str, str] = dict(zip(recipe.publish.by, key, strict=bool(groups)))
        parts = list(_cut(counts, recipe.publish.rows_per_part))
        for i, slices in enumerate(parts):
            yield {"kind": "shards", "name": part_name(i, len(parts), group), "slices": slices, "group": group}


def _group_rows(state: TaskState, by: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Kept rows of a task, by group."""
    mask = state.kept.mask()
    if not by:
        return {(): state.kept.rows if mask is None else int(mask.sum())}
    counts: Counter[tuple[str, ...]] = Counter()
    for table in read_tables(state.kept.docs, mask, columns=by):
        counts.update(zip(*(table[column].to_pylist() for column in by), strict=True))
    return counts


def _cut(counts: Sequence[tuple[TaskState, int]], rows: int) -> Iterator[list[dict[str, Any]]]:
    """Slices of tasks, `rows` rows a part; one empty part where there is no row at all."""
    part: list[dict[str, Any]] = []
    room = rows
    made = False
    for state, count in counts:
        skip = 0
        while skip < count:
            take = min(count - skip, room)
            part.append({"kept": state.kept.to_json(), "skip": skip, "take": take})
            skip, room = skip + take, room - take
            if not room:
                yield part
                part, room, made = [], rows, True
    if part or not made:
        yield part


def _ledger_task(state: TaskState) -> dict[str, Any]:
    where = f"{state.task.source.name} from {state.task.start}"
    return {"levels": [level.to_json() for level in state.levels], "pages": state.pages, "where": where}


def _signals_task(state: TaskState) -> dict[str, Any]:
    return {"files": state.signals, "kept": state.kept.to_json()}


def _by_tasks(
    kind: str, states: Sequence[TaskState], make: Callable[[TaskState], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Whole tasks, as many a part as make up its rows."""
    parts: list[list[dict[str, Any]]] = [[]]
    rows = 0
    for state in states:
        if rows and rows + state.pages > LEDGER_ROWS_PER_PART:
            parts.append([])
            rows = 0
        parts[-1].append(make(state))
        rows += state.pages
    for i, tasks in enumerate(parts):
        yield {"kind": kind, "name": part_name(i, len(parts)), "tasks": tasks}


def _clusters(dedups: Sequence[DedupResult]) -> Iterator[dict[str, Any]]:
    """Members of clusters, cut by rows; one empty part where there is no cluster."""
    cuts = [
        {
            "stage": result.stage,
            "groups": result.groups,
            "documents": result.documents,
            "start": start,
            "stop": min(start + LEDGER_ROWS_PER_PART, result.members),
        }
        for result in dedups
        for start in range(0, result.members, LEDGER_ROWS_PER_PART)
    ]
    for i, cut in enumerate(cuts or [{}]):
        yield {"kind": "clusters", "name": part_name(i, len(cuts) or 1), **cut}
