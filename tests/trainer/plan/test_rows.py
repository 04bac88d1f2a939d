"""Rows of a plan: every target exactly as often as asked, no more in a row than it may hold, masks counted."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.training import SourceSpec
from tests.trainer import sealed
from tests.trainer.plan.corpora import Folder
from tests.trainer.plan.plans import lengths, lognormal, pieces, plan, shrunk, stage, targets, windows
from trainer.errors import IntegrityError, TrainerError
from trainer.plan.chain import Plan
from trainer.segments.library import Library
from trainer.segments.read import Segments

DOCUMENT = st.one_of(st.integers(0, 60), st.lists(st.integers(0, 1), max_size=40))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    segments=st.lists(st.lists(DOCUMENT, max_size=25), min_size=1, max_size=4),
    epochs=st.sampled_from([1, 2, 3, 0.5, 1.25, 2.9]),
    seq_len=st.sampled_from([1, 2, 7, 16, [[0, 4], [30, 16]], [[0, 8], [100, 3]]]),
    run=st.sampled_from([1, 20, 10_000]),
    seed=st.integers(0, 3),
    share=st.sampled_from([(0.0, 1.0), (0.25, 1.0)]),
)
def test_every_target_of_every_document_stands_in_a_row_once_a_pass(
    tmp_path_factory: pytest.TempPathFactory,
    segments: list[list[Any]],
    epochs: float,
    seq_len: Any,
    run: int,
    seed: int,
    share: tuple[float, float],
) -> None:
    folder = Folder(segments)
    spec = stage(epochs=epochs, seq_len=seq_len, batch=32)
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
        if not mine:
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
            assert often <= ({int(epochs), -int(-epochs // 1)} if (i, j) in mine else {0})
            drawn += often.pop() * table["targets"][j].as_py()
    assert not seen
    planned = sum(window.steps["n_targets"].to_numpy().sum() for window in found)
    assert drawn == planned == sum(window.counts.targets for window in found)
    assert whole * int(epochs) <= drawn <= whole * -int(-epochs // 1)


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
    spec = stage(epochs=1, seq_len=seq_len, batch=rows * seq_len + seq_len // 2)
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


def test_masks_count_targets_also_of_documents_that_are_cut(tmp_path: Path) -> None:
    masks = [[1] * 5 + [0] * 30 + [1] * 30, [0, 0, 1], [1, 0, 0, 0], [0] * 20 + [1], [0]]
    folder = Folder([masks], kind="chat")
    (window,) = windows(plan(tmp_path, stage(epochs=2, seq_len=8, batch=8), {"web": folder}))
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
        plan(tmp_path, stage(epochs=1), {"web": folder}).window(0)


def test_held_out_documents_are_of_text_alone_and_no_stage_draws_them(tmp_path: Path) -> None:
    text, chat = lognormal(500), Folder([[[0, 1, 1]] * 300], name="chat", kind="chat")
    folders = {"web": text, "chat": chat}
    drawn = []
    for name in ("core", "next"):
        made = plan(tmp_path / name, stage(name=name, mix={"web": 1, "chat": 1}, epochs=1), folders, held_out=0.2)
        drawn.append(targets(windows(made)))
    assert drawn[0] == drawn[1]
    assert sum(segment == 3 for segment, _ in drawn[0]) == 600
    whole = sum(n - 1 for segment in lengths(text) for n in segment)
    assert 0.7 * whole < sum(segment < 3 for segment, _ in drawn[0]) < 0.9 * whole


def test_real_segments(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [[rng.integers(0, 500, n) for n in rng.integers(1, 60, 40)] for _ in range(3)]
    chats = [[rng.integers(0, 500, n) for n in rng.integers(2, 40, 30)]]
    masks = [[(rng.random(len(tokens)) < 0.5).astype(np.uint8) for tokens in chats[0]]]
    folders = [
        Segments.open(str(sealed.write(tmp_path / "web", texts))),
        Segments.open(str(sealed.write(tmp_path / "chat", chats, masks=masks, kind="chat"))),
    ]
    spec = stage(mix={"web": 1, "chat": 1}, epochs=1)
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
