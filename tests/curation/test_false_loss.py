"""What gates lose: counts of the sample, and what they say of all pages."""

import math
from fractions import Fraction

import pyarrow as pa
import pytest

from curation.false_loss import count, upper_bound
from schemas.manifest import GateSample
from schemas.tables import signals

ROWS: list[tuple[bool, float | None, bool]] = [
    # sampled, measured, kept in the end
    (True, 0.05, True),  # lost
    (True, 0.05, False),
    (True, 0.1, True),  # at the threshold it passes
    (True, 0.9, True),
    (True, 0.9, False),
    (True, None, True),  # came to no gate
    (False, 0.05, True),
    (False, 0.9, True),
]


def test_only_sampled_pages_that_came_to_the_gate_count() -> None:
    rows = [{"id": str(i), "path": "p", "offset": i, "sampled": s, "language.x": v} for i, (s, v, _) in enumerate(ROWS)]
    table = pa.Table.from_pylist(rows, schema=signals(("language.x",)))
    stays = pa.chunked_array([pa.array([kept for *_, kept in ROWS])])
    threshold = float(table["language.x"][2].as_py())
    found = count(table, stays, {"language": ("language.x", threshold)})
    assert found == {"language": {"asked": 5, "failed": 2, "kept": 3, "lost": 1}}
    assert set(found["language"]) == set(GateSample.model_fields)
    assert count(table, stays, {}) == {}
    assert count(table.slice(0, 0), stays.slice(0, 0), {"language": ("language.x", 1.0)}) == {
        "language": {"asked": 0, "failed": 0, "kept": 0, "lost": 0}
    }


@pytest.mark.parametrize("kept", [1, 5, 28, 244, 10**6])
def test_nothing_lost_of_some(kept: int) -> None:
    """(1 - p)^n = 5 %."""
    assert upper_bound(0, kept) == pytest.approx(1 - 0.05 ** (1 / kept), rel=1e-9)


@pytest.mark.parametrize(("lost", "kept"), [(1, 2), (1, 30), (7, 30), (29, 30), (40, 200)])
def test_so_few_losses_have_a_chance_of_five_percent_there(lost: int, kept: int) -> None:
    most = upper_bound(lost, kept)
    assert most is not None
    assert lost / kept < most < 1
    p = Fraction(most)
    chance = sum(math.comb(kept, k) * p**k * (1 - p) ** (kept - k) for k in range(lost + 1))
    assert float(chance) == pytest.approx(0.05, rel=1e-9)


def test_all_none_and_many() -> None:
    assert upper_bound(30, 30) == 1
    assert upper_bound(0, 0) is None
    most = upper_bound(100_000, 1_000_000)
    assert most is not None
    assert 0.1 < most < 0.1006
