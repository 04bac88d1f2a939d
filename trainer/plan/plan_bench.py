"""What stands before step 1 of a training on 10^12 tokens: `python -m trainer.plan.plan_bench [FOLDER]`.

Data: 15,625 segments of 64 million tokens, 1.4 * 10^9 documents of log-normal lengths (mean 714) with ids, addresses
and scores, of which 0.5 % are held out. All entries of the manifest name the files of one segment that is sealed here
(200 MB), so they are read from the page cache: on other storage the bytes read, which are reported, take their time.
The stage: rows of 4,096, steps of 4,194,304 positions, so a window is 32 steps, the largest there is at this batch.

A fresh interpreter opens the manifest, plans the stage and compiles the first window. Prints one JSON line: seconds
from the interpreter's start, and its parts; largest resident memory; bytes of the window's files, and bytes read, a
token of the window, at the first visit of its segments (which chooses among their documents) and at later ones.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray

from schemas.segments import BLOCK_BYTES, ArrayEntry, SegmentsManifest
from schemas.training import SourceSpec, StageSpec
from trainer import checksum
from trainer.plan.chain import Plan
from trainer.segments.arrays import Array
from trainer.segments.blocks import Ints, count_blocks, touched
from trainer.segments.library import Library
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.seal import Documents, seal

SEGMENTS, DOCUMENTS, MEAN = 15_625, 89_600, 714
STAGE: dict[str, Any] = {
    "name": "bench",
    "mix": {"web": 1},
    "tokens": 10**12 - 10**10,
    "seq_len": 4096,
    "batch": 2**22,
    "lr": {"from": 1},
}


class Counted(Segments):
    """Counts what is read of mapped arrays, which no counter of the system tells."""

    mapped = 0

    def _opened(self, i: int, entry: ArrayEntry) -> Array:
        array = super()._opened(i, entry)
        gather, size = array.gather, np.dtype(entry.dtype).itemsize

        def counted(starts: Ints, stops: Ints) -> tuple[NDArray[Any], Ints]:
            blocks = touched(starts, stops, size, count_blocks(entry.bytes))
            self.mapped += int(blocks.sum()) * BLOCK_BYTES
            return gather(starts, stops)

        array.gather = counted  # type: ignore[method-assign]
        return array


def prepare(folder: Path) -> None:
    """Seals one segment, and writes a manifest that names it often."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(MEAN) - 0.5, 1, DOCUMENTS).astype(np.int64) + 2
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = [f"<urn:uuid:{value:032x}>" for value in rng.integers(0, 2**62, DOCUMENTS).tolist()]
    columns = pa.table(
        {
            "id": ids,
            "bytes": pa.array(lengths * 4),
            "url": [f"https://site-{n % 977}.example.org/{text[12:30]}/{n}.html" for n, text in enumerate(ids)],
            "language": pa.array(["en", "ko", "de", "fr"] * (DOCUMENTS // 4)),
            "language_score": pa.array(rng.random(DOCUMENTS)),
        }
    )
    tokens = rng.integers(0, 50_000, int(starts[-1])).astype(np.uint16)
    entry = seal(str(folder), "00000", Documents(tokens=tokens, starts=starts, columns=columns))
    entries = tuple(entry.model_copy(update={"name": f"{n:05}"}) for n in range(SEGMENTS))
    manifest = SegmentsManifest(
        key="bench", kind="text", data="", data_sha256="", tokenizer_sha256="", segments=entries
    )
    (folder / MANIFEST).write_bytes(checksum.append(manifest.model_dump_json().encode()))


def measure(folder: Path) -> None:
    """Prints one JSON line."""
    started = psutil.Process().create_time()
    imported = time.time()
    segments = cast(Counted, Counted.open(str(folder)))
    opened = time.time()
    stage = StageSpec.model_validate(STAGE)
    with tempfile.TemporaryDirectory() as store:
        plan = Plan(stage, {"web": SourceSpec()}, 0, 0.005, Library([segments]), {"web": 0}, Path(store))
        planned = time.time()
        before = _read(segments)
        window = plan.window(0)
        compiled = time.time()
        first = _read(segments) - before
        size = sum(file.stat().st_size for file in Path(store).iterdir())
    peak = int(_counter("status", "VmHWM:"))  # getrusage would remember the parent's
    tokens = window.counts.positions - window.counts.padding
    with tempfile.TemporaryDirectory() as store:
        again = Plan(stage, {"web": SourceSpec()}, 0, 0.005, Library([segments]), {"web": 0}, Path(store))
        before, began = _read(segments), time.time()
        again.window(0)
        later, later_s = _read(segments) - before, time.time() - began
    print(
        json.dumps(
            {
                "tokens": sum(entry.tokens for entry in segments.manifest.segments),
                "documents": sum(entry.documents for entry in segments.manifest.segments),
                "seconds": round(compiled - started, 2),
                "import_s": round(imported - started, 2),
                "manifest_s": round(opened - imported, 2),
                "plan_s": round(planned - opened, 2),
                "window_s": round(compiled - planned, 2),
                "rss_mb": peak // 1024,
                "window_tokens": tokens,
                "steps": len(window.steps),
                "runs": window.cursors["web"].run + 1,
                "padding": window.counts.padding / window.counts.positions,
                "plan_bytes_a_token": round(size / tokens, 4),
                "read_bytes_a_token": round(first / tokens, 3),
                "read_bytes_a_token_later": round(later / tokens, 3),
                "window_again_s": round(later_s, 2),
            }
        )
    )


def _read(segments: Counted) -> int:
    """Bytes read by this process so far."""
    return int(_counter("io", "rchar:")) + segments.mapped


def _counter(file: str, name: str) -> str:
    return Path("/proc/self", file).read_text().split(name)[1].split()[0]


def main(folder: Path) -> None:
    """Prepares, and measures in a process of its own."""
    if not (folder / MANIFEST).exists():
        prepare(folder)
    subprocess.run([sys.executable, "-m", "trainer.plan.plan_bench", "--measure", str(folder)], check=True)


if __name__ == "__main__":
    if "--measure" in sys.argv:
        measure(Path(sys.argv[-1]))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
