"""The same bytes after SIGKILL at random moments, and nobody left behind."""

import random
import time
from pathlib import Path

import pytest

from tests.engines.crawl import Crawl, descendants, fingerprint, kill, wait_gone

KILLS = 3


@pytest.mark.parametrize("whom", ["driver", "worker", "all"])
def test_killed_runs_go_on(whom: str, crawl: Crawl, reference: dict[str, str], tmp_path: Path) -> None:
    """Killed a few times while running, then run to the end."""
    moments = random.Random(whom)
    killed = 0
    for _ in range(KILLS):
        process = crawl.start(tmp_path / "out", "--workers", "2")
        time.sleep(moments.uniform(2.0, 9.0))
        below = descendants(process.pid)
        killed += process.poll() is None and kill(process, whom)
        if whom == "worker":  # the driver notices, and runs again what has no marker
            assert process.wait(timeout=240) == 0, (tmp_path / "out.log").read_text()[-3000:]
            break
        process.wait(timeout=30)
        assert wait_gone(below, 15) == [], "workers outlived their driver"
    crawl.run(tmp_path / "out", "--workers", "2")
    assert fingerprint(tmp_path / "out") == reference
    assert killed > 0, "every run ended before its kill; the moments are too late"
