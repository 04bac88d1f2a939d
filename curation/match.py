"""Gather, match and cluster: bucket keys of all documents to edges a hash range, then edges to keepers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.jobs import Job, Marker, Phase
from curation.keep import CLUSTER_COLUMNS
from dedup.components import Components, choose_keepers
from dedup.exchange import read_slice
from dedup.gather import gather
from dedup.match import edges
from storage.hashed import HashedFile
from storage.paths import open_read

ROWS_PER_GROUP = 100_000

CLUSTER_TABLE = pa.schema(list(zip(CLUSTER_COLUMNS, (pa.int64(), pa.int64(), pa.int32()), strict=True)))


def read_list(path: str) -> Iterator[tuple[str, int]]:
    """Rows of a file list: (path, number of the file's first document)."""
    with open_read(path) as file:
        table = pq.read_table(file)
    yield from zip(table["path"].to_pylist(), table["base"].to_pylist(), strict=True)


@dataclass
class Gather(Phase):
    """The phase that merges files of keys before the exchange. Payload: `files` (a file list of signatures)."""

    folder: str
    name: str = "gather"

    def run(self, job: Job) -> Marker:
        """One group of files. See `Phase.run`."""
        paths, bases = zip(*read_list(job.payload["files"]), strict=True)
        return Marker(job.id, {"keys": gather(paths, bases, self.folder)})


@dataclass
class Match(Phase):
    """The phase that finds a hash range's edges. Payload: `files` (a file list of signatures), `fences` [a, b)."""

    folder: str
    name: str = "match"

    def run(self, job: Job) -> Marker:
        """One range. See `Phase.run`."""
        a, b = job.payload["fences"]
        slices = _slices(job.payload["files"], a, b)
        found = edges(slices)
        with HashedFile(self.folder, f"{job.id}.edges", ".bin") as file:
            file.write(np.ascontiguousarray(found, "<i8").tobytes())
            return Marker(job.id, {"edges": file.commit()}, {"edges": len(found)})


def _slices(files: str, a: int, b: int) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
    for path, base in read_list(files):
        keys, rows = read_slice(path, a, b)
        if len(keys):
            yield keys, rows.astype(np.int64) + base


@dataclass
class Cluster(Phase):
    """The phase that joins all edges. Payload: `edges` and `priorities` (file lists), `documents` (how many)."""

    folder: str
    name: str = "cluster"

    def run(self, job: Job) -> Marker:
        """The one job. See `Phase.run`."""
        total = job.payload["documents"]
        components = Components(total)
        for path, _ in read_list(job.payload["edges"]):
            with open_read(path) as file:
                components.add(np.frombuffer(file.read(), "<i8").reshape(-1, 2))
        priority = None
        for path, base in read_list(job.payload["priorities"]):
            priority = np.zeros(total, np.int64) if priority is None else priority
            with open_read(path) as file:
                values = np.frombuffer(file.read(), "<i8")
            priority[base : base + len(values)] = values
        result = choose_keepers(components.labels(), priority)
        table = pa.table([result.numbers, result.keepers, result.sizes], schema=CLUSTER_TABLE)
        by_cluster = table.take(pa.array(np.lexsort((result.numbers, result.keepers))))
        with HashedFile(self.folder, f"{job.id}.bits", ".bin") as bits:
            bits.write(result.bits.tobytes())
            files = {"bits": bits.commit()}
        for what, rows in (("clusters", table), ("groups", by_cluster)):
            with HashedFile(self.folder, f"{job.id}.{what}", ".parquet") as file:
                pq.write_table(rows, file, row_group_size=ROWS_PER_GROUP, compression="zstd")
                files[what] = file.commit()
        kept = total - len(result.numbers) + len(np.unique(result.keepers))
        return Marker(job.id, files, {"documents": total, "members": len(result.numbers), "kept": kept})
