"""The same bytes on every runner and after SIGKILL at random moments, over the whole built-in crawl."""

import sys

import pytest

from schemas.manifest import Manifest
from tests.engines.crawl import PAGES
from tests.engines.matrix import KILLED, REFERENCE, Matrix
from tests.engines.runners import RUNNERS

pytestmark = pytest.mark.timeout(1500)  # runs have limits of their own; on a busy machine a test waits for two of them


@pytest.mark.parametrize("case", RUNNERS)
def test_every_runner_gives_the_same_bytes(case: str, matrix: Matrix) -> None:
    assert matrix.published(case) == matrix.published(REFERENCE)


@pytest.mark.parametrize("case", [f"killed_{whom}" for whom in KILLED])
def test_killed_runs_give_the_same_bytes(case: str, matrix: Matrix) -> None:
    """Killed while running, more than once, and nobody left behind."""
    sys.stdout.write(f"the same moments again: GRISTMILL_KILL_SEED={matrix.seed}\n")
    assert matrix.published(case) == matrix.published(REFERENCE)


def test_the_reference_shows_what_the_matrix_is_for(matrix: Matrix) -> None:
    """All pages, losses to stages that need other pages and to the classifier, and a chain that had to be closed."""
    matrix.published(REFERENCE)
    output = matrix.output(REFERENCE)
    manifest = Manifest.model_validate_json((output / "manifest.json").read_bytes())
    assert manifest.counts.pages == PAGES
    assert {"digest_dedup", "minhash", "quality"} <= set(manifest.counts.dropped_by)
    levels = [len(list(folder.glob("*.json"))) for folder in (output / "work" / "sift").iterdir()]
    assert min(levels) == 2 * len(manifest.inputs), "every file is read in two ranges"
    assert max(levels) > min(levels), "no range had to be read again: the chain of bounds closed by itself"
