"""Sign: a task's documents to the bucket keys of the dedup stage that ends their level."""

import base64
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from curation.child import Died
from curation.documents import read_documents
from curation.jobs import Job, Marker
from curation.judged import Sealed
from curation.supervised import DEFAULT_LIMITS, Limits, SupervisedPhase
from dedup.exchange import FENCES, SignatureWriter
from storage.hashed import HashedFile


@dataclass
class Sign(SupervisedPhase):
    """The phase. A job's payload: `docs`, the documents file."""

    folder: str
    build: Sealed
    """Builds a `curation.judge.Signer`."""
    limits: Limits = DEFAULT_LIMITS
    name: str = "sign"

    def run(self, job: Job) -> Marker:
        """One task's documents. See `Phase.run`."""
        signatures = SignatureWriter()
        priorities: list[int] = []
        unsigned: Counter[str] = Counter()
        for row, (_, signed) in enumerate(self.child.map(read_documents(job.payload["docs"]))):
            if isinstance(signed, Died):  # it stays, as a document without a duplicate
                unsigned[signed.reason] += 1
                signed = np.empty(0, np.uint64), 0
            keys, priority = signed
            signatures.add(row, keys)
            priorities.append(priority)
        files = {}
        with HashedFile(self.folder, f"{job.id}.keys", ".bin") as file:
            counts = signatures.write(cast(BinaryIO, file))
            files["keys"] = file.commit()
        if any(priorities):
            with HashedFile(self.folder, f"{job.id}.priorities", ".bin") as file:
                file.write(np.array(priorities, "<i8").tobytes())
                files["priorities"] = file.commit()
        return Marker(
            job.id, files, {"rows": len(priorities), "unsigned": dict(unsigned), "fences": pack_counts(counts)}
        )


def pack_counts(counts: NDArray[np.int64]) -> str:
    """Keys a fence, shape (4096,), as text for a marker."""
    return base64.b64encode(zlib.compress(counts.astype("<u4").tobytes(), 9)).decode()


def unpack_counts(text: str) -> NDArray[np.int64]:
    """The inverse of `pack_counts`."""
    counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").astype(np.int64)
    assert counts.shape == (FENCES,), counts.shape
    return counts
