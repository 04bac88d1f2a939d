"""The same bytes on every runner."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.engines.crawl import Crawl, fingerprint
from tests.engines.engines import flink, prism


@contextmanager
def embedded(_: Path) -> Iterator[list[str]]:
    """Beam's own job service inside the driver, workers in its process too."""
    yield ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]


@contextmanager
def bundle_repeat(_: Path) -> Iterator[list[str]]:
    """The local runner, every bundle three times."""
    yield ["--direct_running_mode=multi_processing", "--direct_num_workers=2", "--direct_runner_bundle_repeat=2"]


@contextmanager
def two_workers(_: Path) -> Iterator[list[str]]:
    """The local runner's worker processes."""
    yield []


RUNNERS: dict[str, Callable[[Path], AbstractContextManager[list[str]]]] = {
    "multi_processing": two_workers,
    "bundle_repeat": bundle_repeat,
    "embedded": embedded,
    "prism": prism,
    "flink": flink,
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_same_bytes(runner: str, crawl: Crawl, reference: dict[str, str], tmp_path: Path) -> None:
    """Against the reference: one worker, in memory."""
    with RUNNERS[runner](tmp_path) as beam_args:
        crawl.run(tmp_path / "out", "--workers", "2", "--", *beam_args)
    assert fingerprint(tmp_path / "out") == reference
