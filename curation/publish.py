"""Publish: documents, ledger rows, clusters and signals to the parts of the output folder.

A job makes one part, from slices of tasks in (path, offset) order, cut by rows: the same parts whatever the tasks were.
It writes into `work/`; the driver links finished parts under their final names (`curation.parts`).
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import false_loss
from curation.documents import from_row, read_tables
from curation.edits.pii import Pii
from curation.jobs import Job, Marker, Phase
from curation.judged import sample_hash
from curation.keep import Kept
from curation.ledger import DOC_COLUMNS, LedgerLevel, final_rows
from curation.match import read_list
from curation.tally import Tally
from schemas.tables import CLUSTERS, DROPPED_TEXT, LEDGER, SHARD, SIGNALS_KEY, signals
from storage.hashed import HashedFile
from storage.paths import open_read

SHOWN = Pii()
"""What examples of duplicates go through: others had theirs in the child."""

EXAMPLE_CHARACTERS = 1_600


@dataclass
class Publish(Phase):
    """The phase. A payload's `kind` names the maker in `MAKERS`."""

    folder: str
    rows_per_group: int
    seed: int
    examples: int
    dropped_per_reason: int | None
    """None keeps all."""
    signal_names: tuple[str, ...]
    all_signals: bool
    gates: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Name -> the signal that it decides by, and the least value that passes."""
    name: str = "publish"

    def run(self, job: Job) -> Marker:
        """One part. See `Phase.run`."""
        schema, make = MAKERS[job.payload["kind"]]
        facts: dict[str, Any] = {"name": job.payload["name"]}
        rows = 0
        with HashedFile(self.folder, job.id, ".parquet") as file:
            writer = pq.ParquetWriter(
                file, schema or signals(self.signal_names), compression="zstd", compression_level=3
            )
            for group in regroup(make(self, job.payload, facts), self.rows_per_group):
                writer.write_table(group)
                rows += group.num_rows
            writer.close()
            return Marker(job.id, {"part": file.commit()}, facts | {"rows": rows})


def regroup(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cuts a stream of tables anew into tables of `rows` rows, the last one shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count < rows:
            continue
        joined = pa.concat_tables(waiting).unify_dictionaries()
        while joined.num_rows >= rows:
            yield joined.slice(0, rows).combine_chunks()
            joined = joined.slice(rows)
        waiting, count = [joined], joined.num_rows
    if count:
        yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()


def _shard(phase: Publish, payload: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[pa.Table]:
    """Kept documents. Payload: `slices` of {kept, skip, take}, `group`: column -> value."""
    tally = Tally(seed=phase.seed, examples=phase.examples)
    for part in payload["slices"]:
        skip, take = part["skip"], part["take"]
        kept = Kept.from_json(part["kept"])
        for table in read_tables(kept.docs, *kept.mask_and_sizes()):
            for column, value in payload["group"].items():
                table = table.filter(pc.equal(table[column], value))
            chosen = table.slice(skip, take)
            skip, take = max(skip - table.num_rows, 0), take - chosen.num_rows
            for row in chosen.to_pylist():
                tally.add_kept(from_row(row))
            if chosen.num_rows:
                yield chosen.select(SHARD.names)
            if not take:
                break
    facts["tally"] = tally.to_json()


def _ledger(phase: Publish, payload: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[pa.Table]:
    """Ledger rows of consecutive tasks. Payload: `tasks` of {levels, pages, where}."""
    counts: Counter[tuple[str, str, str]] = Counter()
    tally = Tally(seed=phase.seed, examples=phase.examples)
    for task in payload["tasks"]:
        levels = [LedgerLevel.from_json(raw) for raw in task["levels"]]
        table = final_rows(levels, task["pages"], task["where"])
        for level in levels:
            _tally_duplicates(tally, level)
        columns = (table[name].to_pylist() for name in ("outcome", "stage", "reason"))
        counts.update((outcome, stage or "", reason or "") for outcome, stage, reason in zip(*columns, strict=True))
        yield table
    facts["counts"] = [[*key, n] for key, n in sorted(counts.items())]
    facts["tally"] = tally.to_json()


def _tally_duplicates(tally: Tally, level: LedgerLevel) -> None:
    """Adds the documents that a level's dedup stage dropped."""
    mask, sizes = level.kept.mask_and_sizes()
    if mask is None:
        return
    for table in read_tables(level.kept.docs, ~mask, sizes):
        for row in table.to_pylist():
            doc = from_row(row)
            shown = tally.wants(level.dedup, level.reason, doc.id)
            tally.add_dropped(
                level.dedup,
                level.reason,
                id=doc.id,
                url=doc.url,
                value=doc.cluster_size,
                threshold=1,
                language=doc.language,
                text=SHOWN.edit(replace(doc, text=doc.text[:EXAMPLE_CHARACTERS])).text if shown else "",
                characters=len(doc.text),
                language_score=doc.language_score if doc.language else None,
                quality_score=doc.quality_score,
            )


def _clusters(phase: Publish, payload: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[pa.Table]:
    """Members of clusters, in order. Payload: nothing, or `groups`, `start`, `stop`, `documents`, `stage`."""
    if "groups" not in payload:
        return
    with open_read(payload["groups"]) as file:
        rows = pq.read_table(file).slice(payload["start"], payload["stop"] - payload["start"])
    numbers, keepers = rows["number"].to_numpy(), rows["keeper"].to_numpy()
    wanted = np.unique(np.concatenate([numbers, keepers]))
    docs = _look_up(payload["documents"], wanted)
    members = docs.take(pa.array(np.searchsorted(wanted, numbers)))
    yield pa.table(
        [
            pa.array([payload["stage"]] * len(numbers), CLUSTERS.field("stage").type),
            docs["id"].take(pa.array(np.searchsorted(wanted, keepers))),
            members["id"],
            members["url"],
            members["file_path"],
            members["offset"],
            rows["size"],
            pa.array(numbers == keepers),
        ],
        schema=CLUSTERS,
    )


def _look_up(files: str, numbers: Any) -> pa.Table:
    """`DOC_COLUMNS` of the documents with these numbers (sorted, distinct), from a file list of documents files."""
    listed = list(read_list(files))
    bases = np.array([base for _, base in listed])
    owner = np.searchsorted(bases, numbers, side="right") - 1
    parts = []
    for at in np.unique(owner):
        path, base = listed[at]
        table = pa.concat_tables(read_tables(path, columns=DOC_COLUMNS))
        parts.append(table.take(pa.array(numbers[owner == at] - base)))
    return pa.concat_tables(parts).combine_chunks()


def _signals(phase: Publish, payload: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[pa.Table]:
    """Signals of kept and of sampled documents. Payload: `tasks` of {files, kept}."""
    schema = signals(phase.signal_names)
    lost: dict[str, Counter[str]] = {name: Counter() for name in phase.gates}
    for task in payload["tasks"]:
        joined: pa.Table | None = None
        for path in task["files"]:
            with open_read(path) as file:
                table = pq.read_table(file)
            joined = table if joined is None else joined.join(table, SIGNALS_KEY.names, join_type="full outer")
        assert joined is not None, "a task has at least one level"
        stays = pc.is_in(joined["offset"], pa.array(Kept.from_json(task["kept"]).offsets(), pa.int64()))
        for name, counts in false_loss.count(joined, stays, phase.gates).items():
            lost[name].update(counts)
        if not phase.all_signals:
            joined = joined.filter(pc.or_(stays, joined["sampled"]))
        joined = joined.sort_by("offset")
        columns = [
            joined[f.name] if f.name in joined.column_names else pa.nulls(joined.num_rows, f.type) for f in schema
        ]
        yield pa.table(columns, schema=schema)
    facts["gates"] = {name: dict(counts) for name, counts in lost.items()}


def _dropped(phase: Publish, payload: Mapping[str, Any], facts: dict[str, Any]) -> Iterator[pa.Table]:
    """Sampled dropped texts: of each (stage, reason) those with the lowest hashes. Payload: `files`, in order."""
    lowest: dict[tuple[str, str], list[tuple[int, int, dict[str, Any]]]] = {}
    count = 0
    for path in payload["files"]:
        for row in _each(path):
            count += 1
            heap = lowest.setdefault((row["stage"], row["reason"]), [])
            heapq.heappush(heap, (-sample_hash(phase.seed, row["id"]), -count, row))
            if phase.dropped_per_reason is not None and len(heap) > phase.dropped_per_reason:
                heapq.heappop(heap)
    for key in sorted(lowest):
        rows = [row for _, _, row in sorted(lowest.pop(key), reverse=True, key=lambda entry: entry[:2])]
        yield pa.Table.from_pylist(rows, schema=DROPPED_TEXT)


def _each(path: str) -> Iterator[dict[str, Any]]:
    with open_read(path) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=256):
            yield from batch.to_pylist()


Maker = Callable[[Publish, Mapping[str, Any], dict[str, Any]], Iterator[pa.Table]]

MAKERS: dict[str, tuple[pa.Schema | None, Maker]] = {
    "shards": (SHARD, _shard),
    "ledger": (LEDGER, _ledger),
    "clusters": (CLUSTERS, _clusters),
    "signals": (None, _signals),
    "dropped": (DROPPED_TEXT, _dropped),
}
"""Folder of the output -> its schema (None: the recipe's signals) and what makes its rows."""
