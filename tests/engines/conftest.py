"""One small crawl, and its output on the reference runner, for all tests of this folder."""

from pathlib import Path

import pytest

from curation.plan import MIN_RANGE
from service.sample import write_sample
from tests.engines.crawl import Crawl, fingerprint

PAGES = 300


@pytest.fixture(scope="session")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """A crawl small enough to run a dozen times, in one file that is cut into two ranges."""
    folder = tmp_path_factory.mktemp("crawl")
    write_sample(folder, pages=PAGES)
    first, *others = sorted(folder.rglob("*.warc.gz"))
    with first.open("ab") as joined:
        for path in others:
            joined.write(path.read_bytes())
            path.unlink()
    assert first.stat().st_size > MIN_RANGE, "one range alone would leave the chain of bounds untested"
    return Crawl(folder)


@pytest.fixture(scope="session")
def reference(crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one worker in the driver's own process publishes."""
    output: Path = tmp_path_factory.mktemp("reference") / "out"
    crawl.run(output, "--workers", "1")
    return fingerprint(output)
