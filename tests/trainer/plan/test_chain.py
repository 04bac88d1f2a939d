"""Chains of windows: the same bytes whoever compiles them, gone on with, damaged, and summarised."""

import json
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from schemas.training import SourceSpec
from tests.trainer import sealed
from tests.trainer.plan.plans import mixed, pieces, stage, targets, windows
from trainer import checksum
from trainer.errors import ForeignError, TrainerError
from trainer.plan.chain import Plan
from trainer.segments.library import Library
from trainer.segments.read import Segments


@pytest.mark.usefixtures("_small")
def test_the_same_plan_is_the_same_everywhere(tmp_path: Path) -> None:
    one, two = windows(mixed(tmp_path / "one")), windows(mixed(tmp_path / "two"))
    assert [window.hash for window in one] == [window.hash for window in two]
    assert all(a.rows.equals(b.rows) and a.steps.equals(b.steps) for a, b in zip(one, two, strict=True))
    assert [b.parent for b in one[1:]] == [a.hash for a in one[:-1]]
    other = windows(mixed(tmp_path / "other", name="next"))
    assert not {window.hash for window in one} & {window.hash for window in other}
    assert list(pieces(one[0])) != list(pieces(other[0]))


def test_hashes_are_the_same_on_every_machine(tmp_path: Path) -> None:
    assert mixed(tmp_path).window(0).hash == HASH


HASH = "a6585820b5853aead2c6d0bc51856979c66337d078f92bd44abe596b067fb3fe"


@pytest.mark.usefixtures("_small")
def test_a_new_process_goes_on_from_the_last_window_that_stands(tmp_path: Path) -> None:
    found = windows(mixed(tmp_path))
    for number in (2, 3, 4):
        (tmp_path / f"{number:05}.json").unlink()
    resumed = mixed(tmp_path)
    assert resumed.window(4).hash == found[4].hash
    assert resumed.window(len(found) - 1).last
    with pytest.raises(IndexError, match=f"has {len(found)} windows"):
        resumed.window(len(found))


@pytest.mark.usefixtures("_small")
def test_threads_get_the_same_windows(tmp_path: Path) -> None:
    wanted = [window.hash for window in windows(mixed(tmp_path / "alone"))]
    made, again = mixed(tmp_path / "shared"), mixed(tmp_path / "shared")
    got: dict[int, str] = {}

    def ask(plan: Plan, number: int) -> None:
        got[number] = plan.window(number % len(wanted)).hash

    threads = [
        threading.Thread(target=ask, args=((made, again)[number % 2], number)) for number in range(2 * len(wanted))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {number: wanted[number % len(wanted)] for number in range(2 * len(wanted))}


def _hashes(plan: Plan) -> list[str]:
    return [window.hash for window in windows(plan)]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_another_process_gets_the_same_windows(tmp_path: Path, method: str) -> None:
    folder = Segments.open(str(sealed.write(tmp_path / "web", [[np.arange(n) for n in range(2, 90)]] * 3)))
    source = SourceSpec(where="bytes < 50")
    made = Plan(stage(epochs=2), {"web": source}, 0, 0.1, Library([folder]), {"web": 0}, tmp_path / "plan")
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert pool.submit(_hashes, made).result() == _hashes(made)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("kind", ["rows.*.arrow", "steps.*.arrow", "json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_window_is_compiled_again_to_the_same(tmp_path: Path, kind: str, damage: str) -> None:
    wanted = [window.hash for window in windows(mixed(tmp_path))]
    (file,) = tmp_path.glob(f"00001.{kind}")
    data = file.read_bytes()
    middle = len(data) // 2
    changed = {"flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], "cut": data[:middle]}
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(changed[damage])
    found = windows(mixed(tmp_path))
    assert [window.hash for window in found] == wanted
    assert file.read_bytes() == data
    assert targets(found) == targets(windows(mixed(tmp_path / "fresh")))


@pytest.mark.usefixtures("_small")
def test_a_marker_of_other_fields_is_compiled_again(tmp_path: Path) -> None:
    wanted = [window.hash for window in windows(mixed(tmp_path))]
    marker = tmp_path / "00001.json"
    body = json.loads(checksum.read(str(marker)))
    body["cursors"]["web"]["field_of_another_version"] = 1
    marker.write_bytes(checksum.append(json.dumps(body).encode()))
    assert [window.hash for window in windows(mixed(tmp_path))] == wanted


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("also", ["00001.json", "none"])
def test_a_damaged_window_that_comes_out_another_is_an_error(tmp_path: Path, also: str) -> None:
    made = mixed(tmp_path)
    windows(made)
    for file in (*tmp_path.glob("00001.rows.*"), tmp_path / also):
        file.unlink(missing_ok=True)
    again = mixed(tmp_path)
    again.compiler.library.folders[0].arrays[0]["starts"][1:] += 1  # another first document, as no manifest says
    with pytest.raises(TrainerError, match=r"window 1 of stage 'core' is damaged .* it was"):
        again.window(1)


@pytest.mark.usefixtures("_small")
def test_another_plan_does_not_take_over_a_folder(tmp_path: Path) -> None:
    mixed(tmp_path).window(0)
    with pytest.raises(ForeignError, match="holds windows of plan"):
        mixed(tmp_path, tokens=20_000).window(0)


def test_a_recipe_s_other_numbers_change_no_row(tmp_path: Path) -> None:
    assert mixed(tmp_path).spec.hash == mixed(tmp_path, lr={"from": 2}, average=True).spec.hash
    assert mixed(tmp_path).spec.hash != mixed(tmp_path, batch=128).spec.hash


def test_a_short_stage_is_summarised_exactly(tmp_path: Path) -> None:
    made = mixed(tmp_path)
    found = windows(made)
    summary = made.summary()
    assert summary.exact
    assert (summary.windows, summary.steps) == (len(found), sum(len(window.steps) for window in found))
    assert summary.targets == sum(window.counts.targets for window in found)
    assert summary.documents == sum(window.counts.documents for window in found)
    assert summary.dropped == 0
    assert summary.split > 0
    assert summary.padding == tuple(window.counts.padding / window.counts.positions for window in found)
    assert summary.sources["web"].epochs == found[-1].cursors["web"].targets / made.compiler.held["web"].targets


@pytest.mark.usefixtures("_small")
def test_what_became_of_a_long_stage_is_known_from_its_markers(tmp_path: Path) -> None:
    """By a process that has compiled none of its windows."""
    found = windows(mixed(tmp_path))
    account = mixed(tmp_path).account()
    for field in ("documents", "split", "targetless", "positions", "padding", "targets", "dropped"):
        assert getattr(account, field) == sum(getattr(window.counts, field) for window in found), field
    assert account.targets == sum(part.targets for part in account.sources.values())
    assert account.documents == sum(part.documents for part in account.sources.values())
    (tmp_path / "00001.json").write_bytes(b"")
    assert mixed(tmp_path).account() == account  # what is damaged is compiled again
    held = mixed(tmp_path).compiler.held
    assert account.sources["web"].epochs == found[-1].cursors["web"].targets / held["web"].targets


@pytest.mark.usefixtures("_small")
def test_a_long_stage_is_estimated_and_says_so(tmp_path: Path) -> None:
    made = mixed(tmp_path)
    summary = made.summary()
    assert not summary.exact
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert summary.targets == pytest.approx(30_000, abs=3)
    found = windows(made)
    assert summary.windows == pytest.approx(len(found), rel=0.3)
    assert summary.steps == pytest.approx(sum(len(window.steps) for window in found), rel=0.1)
