"""Plans: every target exactly as often as asked, in the mix, the same bytes whoever compiles them."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.training import SourceSpec, StageSpec
from tests.trainer import sealed
from tests.trainer.plan.corpora import Folder, library
from trainer.errors import ForeignError, IntegrityError, TrainerError
from trainer.plan.chain import Plan
from trainer.plan.window import Window
from trainer.segments.library import Library
from trainer.segments.read import Segments

Target = tuple[int, int]
"""Segment's number, token."""


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of 512 positions and runs of 100 tokens, so that little data makes many."""
    with shrunk(512, 100):
        yield


def shrunk(window: int, run: int) -> Any:
    """A context in which windows and runs are small."""
    patch = pytest.MonkeyPatch()
    patch.setattr("trainer.plan.extent.WINDOW_POSITIONS", window)
    patch.setattr("trainer.plan.sources.RUN_TOKENS", run)
    return _Undone(patch)


class _Undone:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def stage(**changes: Any) -> StageSpec:
    """A stage over one source."""
    usual: dict[str, Any] = {"name": "core", "mix": {"web": 1}, "seq_len": 16, "batch": 32, "lr": {"from": 1}}
    return StageSpec(**{**usual, **changes})


def plan(
    store: Path,
    spec: StageSpec,
    folders: Mapping[str, Folder],
    *,
    sources: Mapping[str, SourceSpec] | None = None,
    seed: int = 0,
    held_out: float = 0.0,
) -> Plan:
    """A plan over folders in memory, by source."""
    kinds = {name: SourceSpec(kind=folder.manifest.kind) for name, folder in folders.items()}
    places = {name: i for i, name in enumerate(folders)}
    return Plan(spec, {**kinds, **(sources or {})}, seed, held_out, library(*folders.values()), places, store)


def windows(made: Plan) -> list[Window]:
    """All of a plan."""
    found = [made.window(0)]
    while not found[-1].last:
        found.append(made.window(len(found)))
    return found


def pieces(window: Window) -> Iterator[tuple[int, int, int]]:
    """(segment, start, length) of each piece, row after row."""
    for name in ("segment", "start", "length"):
        assert window.rows[name].num_chunks == 1
    columns = [window.rows[name].combine_chunks().flatten().to_pylist() for name in ("segment", "start", "length")]
    yield from zip(*columns, strict=True)


def targets(found: list[Window]) -> Counter[Target]:
    """How often each token is a target, masks aside."""
    return Counter(
        (segment, token)
        for window in found
        for segment, start, length in pieces(window)
        for token in range(start + 1, start + length)
    )


def lengths(folder: Folder) -> list[list[int]]:
    """Tokens of each document, by segment."""
    return [np.diff(arrays["starts"]).tolist() for arrays in folder.arrays]


def lognormal(documents: int, mean: float = 3.0, *, segments: int = 3, seed: int = 0, name: str = "web") -> Folder:
    """A folder of documents of log-normal lengths."""
    drawn = np.random.default_rng(seed).lognormal(mean, 1, documents).astype(int) + 1
    return Folder([part.tolist() for part in np.array_split(drawn, segments)], name=name)


DOCUMENT = st.one_of(st.integers(0, 60), st.lists(st.integers(0, 1), max_size=40))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    segments=st.lists(st.lists(DOCUMENT, max_size=25), min_size=1, max_size=4),
    passes=st.sampled_from([1, 2, 3, 0.5, 1.25, 2.9]),
    seq_len=st.sampled_from([1, 2, 7, 16, [[0, 4], [30, 16]], [[0, 8], [100, 3]]]),
    run=st.sampled_from([1, 20, 10_000]),
    seed=st.integers(0, 3),
    share=st.sampled_from([(0.0, 1.0), (0.25, 1.0)]),
)
def test_every_target_of_every_document_stands_in_a_row_once_a_pass(
    tmp_path_factory: pytest.TempPathFactory,
    segments: list[list[Any]],
    passes: float,
    seq_len: Any,
    run: int,
    seed: int,
    share: tuple[float, float],
) -> None:
    folder = Folder(segments)
    spec = stage(passes=passes, seq_len=seq_len, batch=32)
    sources = {"web": SourceSpec(share=share)}
    mine = {
        (i, j)
        for i, table in enumerate(folder.tables)
        for j, (hashed, scored) in enumerate(
            zip(table["id_hash"].to_pylist(), table["targets"].to_pylist(), strict=True)
        )
        if scored and hashed >= share[0] * 2**64
    }
    store = tmp_path_factory.mktemp("plan")
    with shrunk(64, run):
        if int(len(mine) * passes) == 0:
            with pytest.raises(TrainerError, match=r"gives nothing|has no targets"):
                plan(store, spec, {"web": folder}, sources=sources, seed=seed).window(0)
            return
        made = plan(store, spec, {"web": folder}, sources=sources, seed=seed)
        found = windows(made)
    seen = targets(found)
    whole = made.compiler.held["web"].targets
    drawn = 0
    for i, (arrays, table) in enumerate(zip(folder.arrays, folder.tables, strict=True)):
        starts = arrays["starts"].tolist()
        for j, (start, stop) in enumerate(pairwise(starts)):
            often = {seen.pop((i, token), 0) for token in range(start + 1, stop)} or {0}
            assert len(often) == 1
            assert often <= ({int(passes), -int(-passes // 1)} if (i, j) in mine else {0})
            drawn += often.pop() * table["targets"][j].as_py()
    assert not seen
    planned = sum(window.steps["n_targets"].to_numpy().sum() for window in found)
    assert drawn == planned == sum(window.counts.targets for window in found)
    assert whole * int(passes) <= drawn <= whole * -int(-passes // 1)


@settings(deadline=None, max_examples=30)
@given(
    documents=st.lists(st.integers(2, 100), min_size=1, max_size=60),
    seq_len=st.integers(1, 40),
    rows=st.integers(1, 5),
)
def test_rows_hold_no_more_than_they_may_and_only_long_documents_are_cut(
    tmp_path_factory: pytest.TempPathFactory, documents: list[int], seq_len: int, rows: int
) -> None:
    folder = Folder([documents])
    spec = stage(passes=1, seq_len=seq_len, batch=rows * seq_len + seq_len // 2)
    (window,) = windows(plan(tmp_path_factory.mktemp("plan"), spec, {"web": folder}))
    by_row = [list(zip(*row.values(), strict=True)) for row in window.rows.to_pylist()]
    used = [sum(length - 1 for _, _, length in row) for row in by_row]
    assert all(0 < n <= seq_len for n in used)
    assert window.counts.padding == sum(seq_len - n for n in used)
    starts = {0, *np.cumsum(documents).tolist()}
    begun = sorted((start, start + length) for row in by_row for _, start, length in row)
    inside = [(start, stop) for start, stop in begun if start not in starts]
    assert all(any(stop == start + 1 for _, stop in begun) for start, _ in inside)  # one token of context
    assert window.counts.split == sum(n - 1 > seq_len for n in documents)
    assert len(begun) == sum(-(-(n - 1) // seq_len) for n in documents)
    steps = window.steps.to_pylist()
    assert [step["row_start"] for step in steps] == np.cumsum([0, *(step["n_rows"] for step in steps)])[:-1].tolist()
    assert len(steps) == -(-len(by_row) // rows)
    assert max(step["n_rows"] for step in steps) - min(step["n_rows"] for step in steps) <= 1
    assert sum(step["n_rows"] for step in steps) == len(by_row)
    for step in steps:
        assert step["n_targets"] == sum(used[step["row_start"] : step["row_start"] + step["n_rows"]])


def mixed(store: Path, **changes: Any) -> Plan:
    """Three sources of unlike documents, whose mix changes."""
    folders = {
        "web": lognormal(2000, 3.0, name="web"),
        "code": lognormal(400, 4.5, seed=1, name="code"),
        "chat": Folder([[[0] * (3 + n % 9) + [1] * (1 + n % 4) for n in range(300)]], name="chat", kind="chat"),
    }
    usual: dict[str, Any] = {
        "mix": [
            [0, {"web": 5, "code": 4, "chat": 1}],
            [10_000, {"web": 1, "code": 3}],
            [20_000, {"chat": 1, "web": 9}],
        ],
        "tokens": 30_000,
        "seq_len": [[0, 16], [15_000, 64]],
        "batch": [[0, 64], [25_000, 128]],
        "max_passes": 10,
    }
    return plan(store, stage(**{**usual, **changes}), folders)


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


LONGEST = max(map(max, lengths(lognormal(2000, 3.0)) + lengths(lognormal(400, 4.5, seed=1))))


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


HASH = "f3062a5774e51544285ad466f0cd585adf94b1c31ec56a5cfdc03d2d09273e20"


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
    made = Plan(stage(passes=2), {"web": source}, 0, 0.1, Library([folder]), {"web": 0}, tmp_path / "plan")
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


def test_masks_count_targets_also_of_documents_that_are_cut(tmp_path: Path) -> None:
    masks = [[1] * 5 + [0] * 30 + [1] * 30, [0, 0, 1], [1, 0, 0, 0], [0] * 20 + [1], [0]]
    folder = Folder([masks], kind="chat")
    (window,) = windows(plan(tmp_path, stage(passes=2, seq_len=8, batch=8), {"web": folder}))
    mask = folder.arrays[0]["mask"]
    for step, row in zip(window.steps.to_pylist(), window.rows.to_pylist(), strict=True):
        counted = sum(
            int(mask[start + 1 : start + length].sum())
            for start, length in zip(row["start"], row["length"], strict=True)
        )
        assert step["n_targets"] == counted
    assert window.counts.targets == 2 * (34 + 1 + 1)
    assert (window.counts.targetless, window.counts.split, window.counts.dropped) == (4, 4, 0)


def test_a_mask_that_is_not_its_column_s_is_damage(tmp_path: Path) -> None:
    folder = Folder([[[1] * 30]], kind="chat")
    folder.arrays[0]["mask"][5] = 0
    with pytest.raises(IntegrityError, match="has 28 targets by its mask, 29 by its column"):
        plan(tmp_path, stage(passes=1), {"web": folder}).window(0)


def test_held_out_documents_are_of_text_alone_and_no_stage_draws_them(tmp_path: Path) -> None:
    text, chat = lognormal(500), Folder([[[0, 1, 1]] * 300], name="chat", kind="chat")
    folders = {"web": text, "chat": chat}
    drawn = []
    for name in ("core", "next"):
        made = plan(tmp_path / name, stage(name=name, mix={"web": 1, "chat": 1}, passes=1), folders, held_out=0.2)
        drawn.append(targets(windows(made)))
    assert drawn[0] == drawn[1]
    assert sum(segment == 3 for segment, _ in drawn[0]) == 600
    whole = sum(n - 1 for segment in lengths(text) for n in segment)
    assert 0.7 * whole < sum(segment < 3 for segment, _ in drawn[0]) < 0.9 * whole


def test_shares_of_one_folder_make_sources_that_share_no_document(tmp_path: Path) -> None:
    folder = lognormal(600)
    sources = {"low": SourceSpec(share=(0, 0.3)), "high": SourceSpec(share=(0.3, 1))}
    spec = stage(mix={"low": 1, "high": 1}, passes=1)
    made = Plan(spec, sources, 0, 0.0, library(folder), {"low": 0, "high": 0}, tmp_path)
    seen = targets(windows(made))
    assert set(seen.values()) == {1}
    assert len(seen) == sum(n - 1 for segment in lengths(folder) for n in segment)
    assert 0.2 < made.compiler.held["low"].targets / len(seen) < 0.4


def languages(where: str) -> tuple[Folder, SourceSpec]:
    """1,000 documents of two languages, in segments of mixed ones."""
    names = ["ko" if n % 3 == 0 else "en" for n in range(1000)]
    return Folder([[5] * 500, [5] * 500], {"language": names, "score": list(range(1000))}), SourceSpec(where=where)


def test_a_condition_chooses_documents(tmp_path: Path) -> None:
    folder, source = languages("language = 'ko' and score >= 600")
    (window,) = windows(plan(tmp_path, stage(passes=1), {"web": folder}, sources={"web": source}))
    wanted = {n for n in range(600, 1000) if n % 3 == 0}
    assert {segment * 500 + start // 5 for segment, start, _ in pieces(window)} == wanted


@pytest.mark.usefixtures("_small")
def test_a_rare_condition_ends_windows_after_some_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.plan.compile._MAX_RUNS", 4)
    folder, source = languages("score % 50 = 0")
    found = windows(plan(tmp_path, stage(passes=2), {"web": folder}, sources={"web": source}))
    assert len(found) > 2
    assert sum(window.counts.targets for window in found) == 2 * 20 * 4


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("language = 'xx'", "gives nothing: none of its 1,000 documents"),
        ("colour = 'red'", r"no columns \['colour'\]"),
        ("language > ", "syntax error"),
        ("cast(language as int) = 1", "Could not convert"),
    ],
)
def test_a_condition_that_chooses_nothing_or_is_none_ends_with_an_error(tmp_path: Path, where: str, why: str) -> None:
    folder, source = languages(where)
    with pytest.raises(TrainerError, match=why) as error:
        plan(tmp_path, stage(tokens=10_000), {"web": folder}, sources={"web": source}).window(0)
    assert "'web'" in str(error.value)
    assert repr(where) in str(error.value)


def test_what_can_t_be_counted_beforehand_gives_nothing_when_it_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder, source = languages("language = 'xx'")
    made = plan(tmp_path, stage(tokens=1_000), {"web": folder}, sources={"web": source})
    with pytest.raises(TrainerError, match="gives nothing"):
        made.window(0)


def test_passes_over_what_a_condition_leaves_are_counted_however_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning rates fall over the stage's targets, which an estimate without the condition would multiply."""
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder, source = languages("language = 'ko'")
    made = plan(tmp_path, stage(passes=2), {"web": folder}, sources={"web": source})
    assert made.total_targets == 2 * 1336 == sum(window.counts.targets for window in windows(made))


def test_passes_over_a_share_are_as_long_as_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And end when all is drawn, though that is more, or less."""
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder, _ = languages("")
    differences = []
    for part in range(5):
        source = SourceSpec(share=(part / 5, (part + 1) / 5))
        made = plan(tmp_path / str(part), stage(passes=2), {"web": folder}, sources={"web": source})
        assert made.total_targets == pytest.approx(1600, abs=2)
        differences.append(sum(window.counts.targets for window in windows(made)) - 1600)
    assert sum(differences) == 0
    assert 0 < max(map(abs, differences)) < 300


@pytest.mark.parametrize(("counted", "where"), [(2**18, ""), (2**18, "language = 'ko'"), (10, "")])
def test_a_stage_that_would_repeat_too_often_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int, where: str
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", counted)
    folder, source = languages(where)
    held = 334 * 4 if where else 4000
    fitting = stage(max_passes=2.5, tokens=int(held * 2.5))
    fits = plan(tmp_path, fitting, {"web": folder}, sources={"web": source})
    assert fits.total_targets == int(held * 2.5)
    wanted = int(held * 2.5) + 10
    with pytest.raises(
        TrainerError, match=f"wants {wanted:,} targets of source 'web', which has {held:,}.* max_passes"
    ):
        plan(tmp_path, stage(max_passes=2.5, tokens=wanted), {"web": folder}, sources={"web": source})


@pytest.mark.usefixtures("_small")
def test_a_cap_that_is_met_on_the_way_ends_the_stage_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder, source = languages("language = 'ko'")
    made = plan(tmp_path, stage(tokens=4000, max_passes=2), {"web": folder}, sources={"web": source})
    with pytest.raises(TrainerError, match=r"wants 4,000 targets of source 'web', which has 1,336 .* 2,672 in all"):
        windows(made)
    assert len(list(tmp_path.glob("*.json"))) > 1  # nothing of what stood is lost


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("max_passes", [1, 2, 2.5])
def test_a_stage_may_use_up_all_that_its_caps_allow(tmp_path: Path, max_passes: float) -> None:
    folders = {"web": Folder([[5] * 101, [5] * 51]), "code": Folder([[3] * 78], name="code")}
    held = {name: folder.manifest.targets for name, folder in folders.items()}
    drawn = {name: int(targets * max_passes) for name, targets in held.items()}
    spec = stage(
        mix={name: float(n) for name, n in drawn.items()}, tokens=sum(drawn.values()) - 8, max_passes=max_passes
    )
    seen = targets(windows(plan(tmp_path, spec, folders)))
    assert max(seen.values()) == -int(-max_passes // 1)
    assert sum(drawn.values()) - 8 <= sum(seen.values()) <= sum(drawn.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"passes": 1, "loss": {"name": "dpo"}}, "no rows of a packed plan"),
        ({"passes": 5}, "wants passes 5.0, its max_passes is 4.0"),
        ({"passes": 1, "mix": {"web": 1, "code": 2}}, "leaves its mix"),
        ({"passes": 1, "seq_len": [[0, 16], [100, 64]]}, "from target 100 on a batch of 32 positions holds no row"),
        ({"passes": 1, "mix": {"nowhere": 1}}, "'nowhere', which has no segments"),
        ({"passes": 1, "mix": {"chat": 1}}, "of kind 'chat', its segments of 'data/code' are of kind 'text'"),
        ({"passes": 1, "mix": {"empty": 1}}, "source 'empty' has no targets"),
    ],
)
def test_what_can_t_be_planned_is_refused_at_once(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    folders = {"web": lognormal(10), "code": lognormal(10, name="code"), "empty": Folder([[1, 0], []], name="empty")}
    sources = {name: SourceSpec() for name in ("web", "code", "nowhere", "empty")} | {"chat": SourceSpec(kind="chat")}
    places = {"web": 0, "code": 1, "chat": 1, "empty": 2}
    with pytest.raises(TrainerError, match=why):
        Plan(stage(**changes), sources, 0, 0.0, library(*folders.values()), places, tmp_path)


def test_a_weight_of_nothing_takes_no_part(tmp_path: Path) -> None:
    folders = {"web": lognormal(100), "code": lognormal(100, name="code")}
    made = plan(tmp_path, stage(mix={"web": 1, "code": 0}, tokens=500), folders)
    assert {segment for segment, _ in targets(windows(made))} <= {0, 1, 2}
    assert list(made.summary().sources) == ["web"]


def test_passes_draw_sources_side_by_side(tmp_path: Path) -> None:
    folders = {"web": lognormal(3000), "code": lognormal(600, seed=2, name="code")}
    with shrunk(512, 100):
        found = windows(plan(tmp_path, stage(passes=1, mix={"web": 1, "code": 1}), folders))
    held = {name: folder.manifest.targets for name, folder in folders.items()}
    for window in found[:-1]:
        done = {name: cursor.targets / held[name] for name, cursor in window.cursors.items()}
        assert abs(done["web"] - done["code"]) < 0.1
    assert {name: cursor.targets for name, cursor in found[-1].cursors.items()} == held


def test_a_pass_takes_another_order_each_time(tmp_path: Path) -> None:
    folder = lognormal(400, segments=8)
    with shrunk(512, 100):
        found = windows(plan(tmp_path, stage(passes=2), {"web": folder}))
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
    assert summary.sources["web"].passes == found[-1].cursors["web"].targets / made.compiler.held["web"].targets


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


def test_real_segments(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [[rng.integers(0, 500, n) for n in rng.integers(1, 60, 40)] for _ in range(3)]
    chats = [[rng.integers(0, 500, n) for n in rng.integers(2, 40, 30)]]
    masks = [[(rng.random(len(tokens)) < 0.5).astype(np.uint8) for tokens in chats[0]]]
    folders = [
        Segments.open(str(sealed.write(tmp_path / "web", texts))),
        Segments.open(str(sealed.write(tmp_path / "chat", chats, masks=masks, kind="chat"))),
    ]
    spec = stage(mix={"web": 1, "chat": 1}, passes=1)
    sources = {"web": SourceSpec(where="id like 'web-%'"), "chat": SourceSpec(kind="chat")}
    made = Plan(spec, sources, 0, 0.1, Library(folders), {"web": 0, "chat": 1}, tmp_path / "plan")
    found = windows(made)
    scored = 0
    for window in found:
        for number, start, length in pieces(window):
            assert len(made.compiler.library.read(number, "tokens", start, start + length)) == length
            scored += length - 1 if number < 3 else int(masks[0][0].size and _masked(masks[0], start, length))
    assert scored == sum(window.counts.targets for window in found)
    assert set(targets(found).values()) == {1}


def _masked(masks: list[np.ndarray], start: int, length: int) -> int:
    return int(np.concatenate(masks)[start + 1 : start + length].sum())
