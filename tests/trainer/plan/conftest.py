"""Small windows, of which little data makes many."""

from collections.abc import Iterator

import pytest

from tests.trainer.plan.plans import shrunk


@pytest.fixture
def _small() -> Iterator[None]:
    """Windows of 512 positions and runs of 100 tokens, so that little data makes many."""
    with shrunk(512, 100):
        yield
