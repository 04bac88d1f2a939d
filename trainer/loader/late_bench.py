"""Times data wait under late reads: `python -m trainer.loader.late_bench [SECONDS] [FOLDER]`.

A consumer takes 200,000 tokens a second (rows of 1,024, steps of 16,384 positions) from a loader with its usual 256 MB
ahead; 1 % of reads answer 2 s late, by chance of a fixed seed. Measured are SECONDS (60 if not given) behind the moment
at which the buffer is full. Three ways of being late, each with a loader of its own:

- `http`: the segments lie behind a server in another process; a read is a request of it.
- `segment`: local; a read is one array of one segment for one step.
- `row`: local; a read is one piece of a row, the pieces of a segment in a step one after another.

Prints one JSON line: share of time that the consumer waited, and its longest wait in seconds.
"""

import functools
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from schemas.training import SourceSpec, StageSpec
from trainer.loader import loader_bench
from trainer.loader.assemble import BYTES_PER_POSITION
from trainer.loader.source import PlanSource
from trainer.plan.chain import Plan
from trainer.segments.library import Library
from trainer.segments.read import Segments

RATE = 200_000
LATE, LATE_S = 0.01, 2.0
BATCH = 16_384
FULL, SLACK, FILL_S = 256 * 2**20, 8 * 2**20, 90.0


class Chance:
    """Which reads are late."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._lock = threading.Lock()
        self.reads = 0

    def late(self, reads: int = 1) -> int:
        """How many of the next reads are."""
        with self._lock:
            self.reads += reads
            return int(self._rng.binomial(reads, LATE))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    chance: Chance

    def do_GET(self) -> None:
        time.sleep(LATE_S * self.chance.late())
        with (self.folder / self.path.lstrip("/")).open("rb") as file:
            size = file.seek(0, 2)
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            stop = min(int(asked[2]) + 1 if asked and asked[2] else size, size)
            file.seek(start)
            data = file.read(stop - start)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """Silent."""


def serve(folder: Path, pipe: Connection) -> None:
    """Serves until the parent asks for the number of requests."""
    chance = Chance()
    handler = type("Handler", (_Handler,), {"folder": folder, "chance": chance})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_address[1])
    pipe.recv()
    pipe.send(chance.reads)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Any]]:
    """A server's URL, and what tells its requests and ends it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(folder, theirs), daemon=True)
    process.start()

    def requests() -> int:
        ours.send(None)
        return int(ours.recv())

    yield f"http://127.0.0.1:{ours.recv()}", requests
    process.kill()
    process.join()


@contextmanager
def late_gather(by_row: bool) -> Iterator[Chance]:
    """Local segments whose reads are late."""
    chance, gather = Chance(), Segments.gather

    @functools.wraps(gather)
    def late(self: Segments, i: int, array: str, starts: Any, stops: Any) -> Any:
        time.sleep(LATE_S * chance.late(len(starts) if by_row else 1))
        return gather(self, i, array, starts, stops)

    with mock.patch.object(Segments, "gather", late):
        yield chance


def consume(place: str, store: Path, seconds: float) -> dict[str, float]:
    """Lets the buffer fill, then takes steps at the consumer's rate."""
    library = Library([Segments.open(place)])
    stage = StageSpec.model_validate({**loader_bench.STAGE, "batch": BATCH})
    source = PlanSource(Plan(stage, {"web": SourceSpec()}, 0, 0.0, library, {"web": 0}, store), library)
    steps = source.steps(None, 0, 1, 16)
    step = next(steps)
    until = time.perf_counter() + FILL_S
    while source.queue_depth < (FULL - SLACK) // (BATCH * BYTES_PER_POSITION) and time.perf_counter() < until:
        time.sleep(4 * step.targets / RATE)
        step = next(steps)
    filled, before = source.queue_depth, len(source.waits.seconds)
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        time.sleep(step.targets / RATE)  # the step trains
        step = next(steps)
    waits = source.waits.seconds[before:]
    seconds = time.perf_counter() - began
    steps.close()  # type: ignore[attr-defined]
    return {
        "mb_ahead": round(filled * BATCH * BYTES_PER_POSITION / 2**20),
        "tokens_per_second": round(len(waits) * step.targets / seconds),
        "wait_share": round(sum(waits) / seconds, 5),
        "wait_max_s": round(max(waits), 4),
    }


def main(seconds: str = "60", place: str | None = None) -> None:
    """Prints one JSON line."""
    row: dict[str, Any] = {"bench": "late", "rate": RATE, "late": LATE, "late_s": LATE_S}
    with tempfile.TemporaryDirectory(dir=place) as made:
        folder = Path(made)
        loader_bench.make(folder)
        loader_bench.compile_windows(folder)  # compiles kernels
        with served(folder) as (url, requests):
            row["http"] = consume(f"{url}/segments", folder / "http", float(seconds))
            row["http"]["reads"] = requests()
        for name in ("segment", "row"):
            with late_gather(name == "row") as chance:
                row[name] = consume(str(folder / "segments"), folder / name, float(seconds))
                row[name]["reads"] = chance.reads
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:3])
