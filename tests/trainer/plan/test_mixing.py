"""Sources of a plan: their shares over any windows, the order they are drawn in, and where windows end."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from schemas.training import SourceSpec
from tests.trainer.plan.corpora import Folder, library
from tests.trainer.plan.plans import (
    LONGEST,
    lengths,
    lognormal,
    mixed,
    pieces,
    plan,
    shrunk,
    stage,
    targets,
    windows,
)
from trainer.plan.chain import Plan


@pytest.mark.usefixtures("_small")
def test_over_any_windows_every_source_has_its_share_to_a_document(tmp_path: Path) -> None:
    made = mixed(tmp_path)
    found = windows(made)
    assert len(found) > 5
    for window in found:
        drawn = {name: cursor.targets for name, cursor in window.cursors.items()}
        total = sum(drawn.values())
        wanted = {
            "web": min(total, 10_000) * 0.5 + max(0, min(total, 20_000) - 10_000) * 0.25 + max(0, total - 20_000) * 0.9,
            "code": min(total, 10_000) * 0.4 + max(0, min(total, 20_000) - 10_000) * 0.75,
            "chat": min(total, 10_000) * 0.1 + max(0, total - 20_000) * 0.1,
        }
        assert {name for name in drawn if abs(drawn[name] - wanted[name]) > LONGEST} == set()
    assert 30_000 <= total <= 30_000 + LONGEST


@pytest.mark.usefixtures("_small")
def test_windows_end_where_a_ramp_or_the_mix_changes(tmp_path: Path) -> None:
    found = windows(mixed(tmp_path))
    total = 0
    ends = []
    for window in found:
        lengths_of = set(window.steps["seq_len"].to_pylist())
        assert lengths_of == {16 if total < 15_000 else 64}
        rows = max(window.steps["n_rows"].to_pylist())
        assert rows <= (64 if total < 25_000 else 128) // lengths_of.pop()
        total += window.counts.targets
        ends.append(total)
    for change in (10_000, 15_000, 20_000, 25_000):
        assert any(change <= end < change + LONGEST for end in ends)


def test_shares_of_one_folder_make_sources_that_share_no_document(tmp_path: Path) -> None:
    folder = lognormal(600)
    sources = {"low": SourceSpec(share=(0, 0.3)), "high": SourceSpec(share=(0.3, 1))}
    spec = stage(mix={"low": 1, "high": 1}, epochs=1)
    made = Plan(spec, sources, 0, 0.0, library(folder), {"low": 0, "high": 0}, tmp_path)
    seen = targets(windows(made))
    assert set(seen.values()) == {1}
    assert len(seen) == sum(n - 1 for segment in lengths(folder) for n in segment)
    assert 0.2 < made.compiler.held["low"].targets / len(seen) < 0.4


def test_a_weight_of_nothing_takes_no_part(tmp_path: Path) -> None:
    folders = {"web": lognormal(100), "code": lognormal(100, name="code")}
    made = plan(tmp_path, stage(mix={"web": 1, "code": 0}, tokens=500), folders)
    assert {segment for segment, _ in targets(windows(made))} <= {0, 1, 2}
    assert list(made.summary().sources) == ["web"]


def test_passes_draw_sources_side_by_side(tmp_path: Path) -> None:
    folders = {"web": lognormal(3000), "code": lognormal(600, seed=2, name="code")}
    with shrunk(512, 100):
        found = windows(plan(tmp_path, stage(epochs=1, mix={"web": 1, "code": 1}), folders))
    held = {name: folder.manifest.targets for name, folder in folders.items()}
    for window in found[:-1]:
        done = {name: cursor.targets / held[name] for name, cursor in window.cursors.items()}
        assert abs(done["web"] - done["code"]) < 0.1
    assert {name: cursor.targets for name, cursor in found[-1].cursors.items()} == held


def test_a_pass_takes_another_order_each_time(tmp_path: Path) -> None:
    folder = lognormal(400, segments=8)
    with shrunk(512, 100):
        found = windows(plan(tmp_path, stage(epochs=2), {"web": folder}))
    order = [piece for window in found for piece in sorted(set(pieces(window)))]
    assert len(order) == 2 * len(set(order))
    assert order[: len(order) // 2] != order[len(order) // 2 :]


def test_a_small_part_of_a_small_source_is_from_all_over_it(tmp_path: Path) -> None:
    made = plan(tmp_path, stage(tokens=1000), {"web": Folder([[11] * 1000])})
    drawn = [start // 11 for window in windows(made) for _, start, length in pieces(window)]
    assert len(set(drawn)) == 100
    assert {document // 100 for document in drawn} == set(range(10))


def test_what_a_window_reads_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[int] = Counter()
    size = 0

    def counted(folder: Folder, i: int, array: str, start: int, stop: int) -> np.ndarray:
        reads[size] += stop - start
        return folder.arrays[i][array][start:stop]

    monkeypatch.setattr(Folder, "read", counted)
    for size in (300, 3000):
        folder = Folder([[11] * 100] * size)
        with shrunk(5_000, 1_000):
            made = plan(tmp_path / str(size), stage(tokens=40_000), {"web": folder})
            assert not made.window(0).last
    assert reads[300] == reads[3000] < 1_000
