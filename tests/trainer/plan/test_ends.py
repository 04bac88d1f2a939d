"""Where a stage ends: close to what was asked, whatever its last documents are."""

from collections import Counter
from pathlib import Path

import pytest

from schemas.training import SourceSpec
from tests.trainer.plan.corpora import Folder
from tests.trainer.plan.plans import lognormal, pieces, plan, shrunk, stage, targets, windows
from trainer.plan.chain import Plan


def hostile(name: str, every: int = 40) -> Folder:
    """Short documents, of which some are longer than any stage here."""
    return Folder([[50_000 if n % every == 7 else 10 + n % 60 for n in range(400)]] * 3, name=name)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("window", [512, 2**25])
def test_a_document_longer_than_a_stage_does_not_lengthen_it(tmp_path: Path, seed: int, window: int) -> None:
    folders = {"web": hostile("web"), "code": hostile("code"), "rest": lognormal(1000, name="rest")}
    mix = [[0, {"web": 2, "code": 1}], [6_000, {"web": 1, "rest": 1}]]
    with shrunk(window, 2_000):
        made = plan(tmp_path, stage(mix=mix, tokens=12_000), folders, seed=seed)
        drawn = {name: cursor.targets for name, cursor in windows(made)[-1].cursors.items()}
    assert 12_000 <= sum(drawn.values()) <= 12_000 + 40
    for name, wanted in {"web": 7_000, "code": 2_000, "rest": 3_000}.items():
        assert abs(drawn[name] - wanted) <= 100


def test_a_document_longer_than_a_window_is_made_up_for_by_later_ones(tmp_path: Path) -> None:
    folder = Folder([[3_000 if n % 40 == 7 else 30 for n in range(1000)]])
    with shrunk(512, 1_000):
        found = windows(plan(tmp_path, stage(tokens=60_000), {"web": folder}))
    assert any(window.counts.targets > 3_000 for window in found[:-1])
    assert 60_000 <= found[-1].cursors["web"].targets <= 60_030


@pytest.mark.usefixtures("_small")
def test_what_was_passed_over_counts_when_a_stage_is_gone_on_with(tmp_path: Path) -> None:
    def made() -> Plan:
        folders = {"web": lognormal(900), "code": hostile("code", every=8)}
        return plan(tmp_path, stage(mix={"web": 9, "code": 1}, tokens=9_000), folders)

    found = windows(made())
    passed_over = [window.cursors["code"].passed_over for window in found]
    assert 0 < passed_over[1] < passed_over[-1]
    for file in tmp_path.glob("*"):
        if int(file.name[:5]) > 1:
            file.unlink()
    assert [window.hash for window in windows(made())] == [window.hash for window in found]


def test_where_all_documents_are_long_one_is_taken(tmp_path: Path) -> None:
    one = plan(tmp_path / "one", stage(tokens=100), {"web": Folder([[5_000]])})
    assert [window.counts.targets for window in windows(one)] == [4_999]
    many = plan(tmp_path / "many", stage(tokens=100), {"web": Folder([[5_000] * 1000])})
    (window,) = windows(many)
    assert window.counts.targets == 4_999
    assert window.cursors["web"].passed_over <= 4 * 13 * 4_999


def test_no_more_is_passed_over_than_a_cap_leaves(tmp_path: Path) -> None:
    folder = Folder([[1_001, *[11] * 50]])
    for seed in range(10):
        made = plan(tmp_path / str(seed), stage(tokens=1_400, max_epochs=1), {"web": folder}, seed=seed)
        seen = targets(windows(made))
        assert set(seen.values()) == {1}
        assert 1_400 <= len(seen) <= 1_500  # without the long one 500


@pytest.mark.parametrize("epochs", [0.3, 1.5, 2.7])
@pytest.mark.parametrize("window", [2_000, 2**25])
def test_a_broken_pass_ends_like_any_other(tmp_path: Path, epochs: float, window: int) -> None:
    folders = {"web": lognormal(2_000), "code": lognormal(500, 4.5, name="code")}
    with shrunk(window, 500):
        made = plan(tmp_path, stage(epochs=epochs, mix={"web": 1, "code": 1}, batch=128), folders)
        found = windows(made)
    held = made.compiler.held
    assert {found[-1].cursors[name].targets // held[name].targets for name in held} == {int(epochs)}
    assert made.total_targets <= sum(each.counts.targets for each in found) <= made.total_targets + 80
    seen = Counter(targets(found).values())
    assert set(seen) <= {0, int(epochs), int(epochs) + 1}
    assert len(targets(found)) == sum(held[name].targets for name in held) or epochs < 1
    assert min(rows for each in found for rows in each.steps["n_rows"].to_pylist()) >= 7
    assert min(each.counts.positions for each in found) >= 1_000
    assert max(each.counts.padding / each.counts.positions for each in found) < 0.05


def test_a_part_of_a_pass_is_from_all_over_a_source(tmp_path: Path) -> None:
    found = windows(plan(tmp_path, stage(epochs=0.1), {"web": Folder([[11] * 1000])}))
    drawn = [start // 11 for window in found for _, start, _ in pieces(window)]
    assert len(set(drawn)) == 100
    assert {document // 100 for document in drawn} == set(range(10))


def test_broken_passes_are_counted_however_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    source = {"web": SourceSpec(share=(0, 0.7))}
    made = plan(tmp_path, stage(epochs=1.5), {"web": Folder([[5] * 5000])}, sources=source)
    held = made.compiler.held["web"]
    assert held.exact
    assert made.total_targets == round(1.5 * held.targets)
    assert 0 <= sum(window.counts.targets for window in windows(made)) - made.total_targets < 4


def test_steps_without_a_target_are_counted(tmp_path: Path) -> None:
    prompts = Folder([[[0] * 200 + [1] * 3] * 20], kind="chat")
    made = plan(tmp_path, stage(epochs=1, seq_len=16, batch=16), {"web": prompts})
    (window,) = windows(made)
    empty = [step for step in window.steps.to_pylist() if step["n_targets"] == 0]
    assert made.summary().targetless_steps == len(empty) > 20
