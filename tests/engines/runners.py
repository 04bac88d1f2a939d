"""The runners, each as a context that gives Beam's arguments for it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.engines.engines import flink, prism


@contextmanager
def multi_processing(_: Path) -> Iterator[list[str]]:
    """The local runner's worker processes."""
    yield []


@contextmanager
def bundle_repeat(_: Path) -> Iterator[list[str]]:
    """The local runner, every bundle three times, in the driver: with processes each try would start workers anew."""
    yield ["--direct_running_mode=in_memory", "--direct_num_workers=1", "--direct_runner_bundle_repeat=2"]


@contextmanager
def embedded(_: Path) -> Iterator[list[str]]:
    """Beam's own job service inside the driver, workers in its process too."""
    yield ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]


RUNNERS: dict[str, Callable[[Path], AbstractContextManager[list[str]]]] = {
    "prism": prism,
    "flink": flink,
    "multi_processing": multi_processing,
    "embedded": embedded,
    "bundle_repeat": bundle_repeat,
}
"""The slowest first, so that the two lanes end together."""
