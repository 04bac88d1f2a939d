"""Times the loader: `python -m trainer.loader.loader_bench [FOLDER] [PYTHON]`, on local segments that it makes there.

Ours: a plan of a text stage (rows of 1,024, steps of 524,288 positions in micro-batches of 12 rows), its windows
compiled beforehand, read by `PlanSource` as training does: blocks hashed at first read, packed rows, document numbers,
positions, weights. Beside it, in turns: what nanoGPT's train.py does (rows of 1,024 at random offsets of one uint16
memory map, inputs and targets as int64, batches of 12), and, where PYTHON is an interpreter that imports MosaicML's
`streaming`, its StreamingDataset over the same tokens in shuffled samples of 1,025, batches of 12, no worker processes.

Everything runs on one core. Prints one JSON line: millions of tokens a CPU second, the median of the rounds, and ratios
as medians of the rounds' own; `plan` is what compiling the windows takes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from schemas.segments import SegmentsManifest
from schemas.training import SourceSpec, StageSpec
from trainer import checksum
from trainer.loader.source import PlanSource
from trainer.plan.chain import Plan
from trainer.segments.library import Library
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.seal import Documents, seal

SEGMENTS, SEGMENT_TOKENS, VOCABULARY = 8, 8 * 10**6, 50_000
SEQ_LEN, BATCH, MICRO_ROWS = 1024, 524_288, 12
ROUNDS = 5
STAGE = {
    "name": "bench",
    "mix": {"web": 1},
    "epochs": 1,
    "seq_len": SEQ_LEN,
    "batch": BATCH,
    "lr": {"from": 1},
}

PEER = """
import sys, time, json
import numpy as np, torch
from streaming import MDSWriter, StreamingDataset
torch.set_num_threads(1)
bin, out, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokens = np.fromfile(bin, np.uint16)
with MDSWriter(out=out, columns={"tokens": f"ndarray:uint16:{length + 1}"}) as writer:
    for start in range(0, len(tokens) - length - 1, length):
        writer.write({"tokens": tokens[start:start + length + 1]})
dataset = StreamingDataset(local=out, shuffle=True, batch_size=12)
for line in sys.stdin:
    began, count, batch = time.process_time(), 0, []
    for sample in dataset:
        batch.append(torch.from_numpy(sample["tokens"].astype(np.int64)))
        if len(batch) == 12:
            rows = torch.stack(batch)
            x, y = rows[:, :-1], rows[:, 1:]
            count, batch = count + x.numel(), []
        if count >= 6_000_000:
            break
    print(json.dumps(count / (time.process_time() - began)), flush=True)
"""


def make(folder: Path) -> None:
    """Segments of documents of log-normal lengths, median 500 tokens; and the same tokens as one file."""
    rng = np.random.default_rng(0)
    entries = []
    with (folder / "tokens.bin").open("wb") as file:
        for i in range(SEGMENTS):
            tokens = rng.integers(0, VOCABULARY, SEGMENT_TOKENS, dtype=np.uint16)
            ends = np.cumsum(rng.lognormal(np.log(500), 1, SEGMENT_TOKENS // 400).astype(np.int64) + 2)
            starts = np.concatenate(([0], ends[ends < SEGMENT_TOKENS], [SEGMENT_TOKENS]))
            columns = pa.table({"id": [f"{i}-{n}" for n in range(len(starts) - 1)], "bytes": np.diff(starts) * 4})
            made = Documents(tokens=tokens, starts=starts, columns=columns)
            entries.append(seal(str(folder / "segments"), f"{i:05d}", made))
            tokens.tofile(file)
    manifest = SegmentsManifest(
        key="bench", kind="text", data="", data_sha256="", tokenizer_sha256="", segments=tuple(entries)
    )
    (folder / "segments" / MANIFEST).write_bytes(checksum.append(manifest.model_dump_json().encode()))


def open_plan(folder: Path) -> tuple[Plan, Library]:
    """A stage over the segments; nothing of them was checked yet."""
    library = Library([Segments.open(str(folder / "segments"))])
    stage = StageSpec.model_validate(STAGE)
    return Plan(stage, {"web": SourceSpec()}, 0, 0.0, library, {"web": 0}, folder / "plan"), library


def compile_windows(folder: Path) -> float:
    """Tokens a CPU second."""
    plan, _ = open_plan(folder)
    began, number, tokens = time.process_time(), 0, 0
    while True:
        window = plan.window(number)
        tokens += window.counts.targets
        if window.last:
            return tokens / (time.process_time() - began)
        number += 1


def ours(folder: Path) -> float:
    """Tokens a CPU second, over the whole stage."""
    plan, library = open_plan(folder)
    began, tokens = time.process_time(), 0
    for step in PlanSource(plan, library).steps(None, 0, 1, MICRO_ROWS):
        tokens += step.targets
    return tokens / (time.process_time() - began)


def nanogpt(folder: Path) -> float:
    """Tokens a CPU second."""
    began, tokens = time.process_time(), 0
    while tokens < 20_000_000:
        data = np.memmap(folder / "tokens.bin", np.uint16, "r")
        offsets = torch.randint(len(data) - SEQ_LEN, (MICRO_ROWS,))
        x = torch.stack([torch.from_numpy(data[i : i + SEQ_LEN].astype(np.int64)) for i in offsets])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + SEQ_LEN].astype(np.int64)) for i in offsets])
        assert x.shape == y.shape
        tokens += x.numel()
    return tokens / (time.process_time() - began)


def mosaicml(folder: Path, python: str) -> tuple[Callable[[Path], float], "subprocess.Popen[str]"]:
    """Its process, and what has it measure once."""
    command = [python, "-W", "ignore", "-c", PEER, str(folder / "tokens.bin"), str(folder / "mds"), str(SEQ_LEN)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(_: Path) -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(json.loads(process.stdout.readline()))

    return measure, process


def main(place: str | None = None, python: str | None = None) -> None:
    """Prints one JSON line."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=place) as made:
        folder = Path(made)
        make(folder)
        row: dict[str, Any] = {"bench": "loader", "tokens": SEGMENTS * SEGMENT_TOKENS}
        compile_windows(folder)  # compiles kernels
        for path in (folder / "plan").iterdir():
            path.unlink()
        row["plan"] = round(compile_windows(folder) / 1e6, 1)
        bodies: dict[str, Callable[[Path], float]] = {"ours": ours, "nanogpt": nanogpt}
        process = None
        if python:
            bodies["mosaicml"], process = mosaicml(folder, python)
        for body in bodies.values():
            body(folder)
        rounds = [{name: body(folder) / 1e6 for name, body in bodies.items()} for _ in range(ROUNDS)]
        for name in bodies:
            row[name] = round(statistics.median(found[name] for found in rounds), 1)
            if name != "ours":
                row[f"times_{name}"] = round(statistics.median(found["ours"] / found[name] for found in rounds), 2)
        if process is not None:
            process.communicate()
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:3])
