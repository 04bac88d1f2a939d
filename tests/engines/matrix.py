"""All runs of the matrix, two at a time: start-up and single-process runners leave half of two cores idle."""

import random
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.engines.crawl import Crawl, fingerprint
from tests.engines.kills import Mark, anywhere, draw, kill_and_go_on, kill_workers, timeline, with_workers
from tests.engines.runners import RUNNERS

REFERENCE = "in_memory"
"""One worker, in the driver's own process."""
LANES = 2
KILLED = ("driver", "worker", "all")
KILLS = 2
"""Of each kind. A phase is tried three times, so it survives the loss of two workers and not of three."""


class Matrix:
    """Runs by name: the reference, a runner's, or `killed_` and whom.

    Args:
      crawl: what to run.
      folder: every run gets a folder in it.
      seed: of the moments at which runs are killed.
      pool: what runs are made in.
    """

    def __init__(self, crawl: Crawl, folder: Path, seed: int, pool: ThreadPoolExecutor) -> None:
        self.seed = seed
        self._crawl, self._folder, self._pool = crawl, folder, pool
        self._runs: dict[str, Future[dict[str, str]]] = {}
        self._timeline: list[Mark] = []

    def begin(self, cases: Iterable[str]) -> None:
        """Starts runs in this order, behind the reference, from whose times the moments of kills are drawn."""
        for case in dict.fromkeys((REFERENCE, *cases)):
            self._runs[case] = self._pool.submit(self._run, case)

    def output(self, case: str) -> Path:
        """Where a run publishes."""
        return self._folder / case / "out"

    def published(self, case: str) -> dict[str, str]:
        """sha256 of every file that a run published, by name; waits for its end, and fails where it failed."""
        return self._runs[case].result()

    def _run(self, case: str) -> dict[str, str]:
        output = self.output(case)
        output.parent.mkdir()
        if case == REFERENCE:
            self._refer(output)
        elif case.startswith("killed_"):
            self._kill(case.removeprefix("killed_"), output)
        else:
            with RUNNERS[case](output.parent) as beam_args:
                self._crawl.run(output, "--workers", "2", "--", *beam_args)
        return fingerprint(output)

    def _refer(self, output: Path) -> None:
        started = time.time()
        self._crawl.run(output, "--workers", "1")
        self._timeline = timeline(output, started)

    def _kill(self, whom: str, output: Path) -> None:
        self.published(REFERENCE)
        rng = random.Random(f"{self.seed} {whom}")
        among = with_workers if whom == "worker" else anywhere
        moments = draw(self._timeline, among(self._timeline), KILLS, rng)
        lead = self._timeline[0].seconds
        if whom == "worker":
            kill_workers(moments, lead, self._crawl, output)
        else:
            kill_and_go_on(whom, moments, lead, self._crawl, output)
