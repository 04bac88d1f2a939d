"""Times a stage of preference pairs: `python -m trainer.plan.pairs_bench [PAIRS]`.

A million pairs (if not given) of 16 to 48 tokens a document in one segment, two epochs, 64 pairs a step, rows of 512. A
consumer then takes 100 steps of 50 ms each of local segments, and of the same behind a server in another process, 1 %
of whose requests are answered 2 s late. Prints one JSON line: seconds to plan the stage and sum it up, and the longest
and the mean wait for a step behind the first ten, in milliseconds.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.segments import SegmentsManifest
from schemas.training import SourceSpec, StageSpec
from trainer import checksum
from trainer.batch import Source
from trainer.loader.late_bench import served
from trainer.loader.source import PlanSource
from trainer.plan.pairs import PairPlan
from trainer.segments.library import Library
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.seal import Documents, seal

PAIRS = 1_000_000
STEPS, STEP_S, FIRST = 100, 0.05, 10
STAGE = {"name": "dpo", "mix": {"a": 1}, "epochs": 2, "seq_len": 512, "batch": 64, "lr": {"from": 1e-3}}


def prepare(folder: Path, pairs: int) -> None:
    """Seals them."""
    rng = np.random.default_rng(0)
    starts = np.concatenate(([0], np.cumsum(rng.integers(16, 49, 2 * pairs))))
    mask = np.ones(starts[-1], np.uint8)
    mask[starts[:-1, None] + np.arange(8)] = 0
    columns = pa.table({"id": [f"{n:07}" for n in range(2 * pairs)], "bytes": pa.array(np.diff(starts) * 4)})
    tokens = rng.integers(0, 50_000, int(starts[-1])).astype(np.uint16)
    entry = seal(str(folder), "00000", Documents(tokens=tokens, starts=starts, columns=columns, mask=mask))
    manifest = SegmentsManifest(
        key="bench", kind="preference", data="", data_sha256="", tokenizer_sha256="", segments=(entry,)
    )
    (folder / MANIFEST).write_bytes(checksum.append(manifest.model_dump_json().encode()))


def plan(folder: str) -> tuple[PairPlan, Library]:
    """The stage over a folder."""
    library = Library([Segments.open(folder)])
    spec = {"a": SourceSpec(kind="preference")}
    return PairPlan(StageSpec.model_validate(STAGE), spec, 0, library, {"a": 0}), library


def waits(source: Source) -> dict[str, float]:
    """What the consumer waited."""
    found = []
    steps = source.steps(None, 0, 1, 8)
    for number in range(STEPS):
        began = time.perf_counter()
        next(steps)
        if number >= FIRST:
            found.append((time.perf_counter() - began) * 1000)
        time.sleep(STEP_S)
    steps.close()  # type: ignore[attr-defined]
    return {"max_ms": round(max(found), 2), "mean_ms": round(sum(found) / len(found), 3)}


def main(pairs: int) -> None:
    """Prints one JSON line."""
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made), pairs)
        plan(made)  # kernels are compiled, columns hashed
        began = time.perf_counter()
        made_plan, library = plan(made)
        planned = time.perf_counter()
        told = made_plan.summary()
        summed = time.perf_counter()
        local = waits(PlanSource(made_plan, library, together=2))
        with served(Path(made)) as (url, _):
            remote = waits(PlanSource(*plan(url), together=2))
    figures = {"plan_s": round(planned - began, 2), "summary_s": round(summed - planned, 3)}
    print(json.dumps({"pairs": told.documents // 2, "steps": told.steps, **figures, "local": local, "remote": remote}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
