"""What a plan may draw: conditions on documents, caps on epochs, and what is refused before it starts."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.training import SourceSpec
from tests.trainer.plan.corpora import Folder, library
from tests.trainer.plan.plans import languages, lognormal, pieces, plan, shrunk, stage, targets, windows
from trainer.errors import TrainerError
from trainer.plan.chain import Plan
from trainer.plan.limits import Available


def test_a_condition_chooses_documents(tmp_path: Path) -> None:
    folder, source = languages("language = 'ko' and score >= 600")
    (window,) = windows(plan(tmp_path, stage(epochs=1), {"web": folder}, sources={"web": source}))
    wanted = {n for n in range(600, 1000) if n % 3 == 0}
    assert {segment * 500 + start // 5 for segment, start, _ in pieces(window)} == wanted


@pytest.mark.usefixtures("_small")
def test_a_rare_condition_ends_windows_after_some_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.plan.compile._MAX_RUNS", 4)
    folder, source = languages("score % 50 = 0")
    found = windows(plan(tmp_path, stage(epochs=2), {"web": folder}, sources={"web": source}))
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


@pytest.mark.parametrize("source", [SourceSpec(where="language = 'xx'"), SourceSpec(share=(0, 1e-9))])
def test_that_a_large_source_gives_nothing_is_found_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: SourceSpec
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    for length in ({"tokens": 1_000}, {"epochs": 1}, {"epochs": 0.5}):
        with pytest.raises(TrainerError, match="gives nothing"):
            plan(tmp_path, stage(**length), {"web": languages("")[0]}, sources={"web": source})


def test_passes_over_what_a_condition_leaves_are_counted_however_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning rates fall over the stage's targets, which an estimate without the condition would multiply."""
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder, source = languages("language = 'ko'")
    made = plan(tmp_path, stage(epochs=2), {"web": folder}, sources={"web": source})
    assert made.total_targets == 2 * 1336 == sum(window.counts.targets for window in windows(made))


def test_passes_over_a_share_are_as_long_as_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And end when all is drawn, though that is more, or less."""
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder = Folder([[5] * 2500] * 2)
    differences = []
    for part in range(5):
        source = SourceSpec(share=(part / 5, (part + 1) / 5))
        made = plan(tmp_path / str(part), stage(epochs=2), {"web": folder}, sources={"web": source})
        assert made.total_targets == pytest.approx(8000, abs=2)
        differences.append(sum(window.counts.targets for window in windows(made)) - 8000)
    assert sum(differences) == 0
    assert 0 < max(map(abs, differences)) < 600


@pytest.mark.parametrize(("counted", "where"), [(2**18, ""), (2**18, "language = 'ko'"), (10, "")])
def test_a_stage_that_would_repeat_too_often_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int, where: str
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", counted)
    folder, source = languages(where)
    held = 334 * 4 if where else 4000
    fitting = stage(max_epochs=2.5, tokens=int(held * 2.5))
    fits = plan(tmp_path, fitting, {"web": folder}, sources={"web": source})
    assert fits.total_targets == int(held * 2.5)
    wanted = int(held * 2.5) + 10
    with pytest.raises(
        TrainerError,
        match=f"wants {wanted:,} targets of source 'web', which has {held:,} .* at most {int(held * 2.5):,} tokens",
    ):
        plan(tmp_path, stage(max_epochs=2.5, tokens=wanted), {"web": folder}, sources={"web": source})


def test_a_large_source_is_counted_only_as_far_as_a_stage_must_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.plan.limits._COUNTED", 10)
    folder = Folder([[5] * 1000] * 5, {"score": list(range(5000))})
    shared, scored = SourceSpec(share=(0, 0.5)), SourceSpec(where="score % 2 = 0")
    true = plan(tmp_path, stage(epochs=0.5), {"web": folder}, sources={"web": shared}).compiler.held["web"].targets

    def asked(source: SourceSpec, tokens: int) -> Available:
        made = plan(tmp_path, stage(tokens=tokens, max_epochs=1), {"web": folder}, sources={"web": source})
        return made.compiler.held["web"]

    assert asked(shared, 5000) == Available(10_000, least=6_000, most=14_001)
    assert asked(shared, true) == Available.counted(true)  # nearly all that is expected
    with pytest.raises(TrainerError, match=f"which has {true:,} .* at most {true:,} tokens"):
        asked(shared, true + 1)
    assert asked(scored, 2000) == Available(10_000, least=2_000, most=18_000)  # of one segment
    assert asked(scored, 10_000) == Available.counted(10_000)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    web=st.lists(st.integers(2, 60), min_size=1, max_size=60),
    code=st.lists(st.integers(2, 300), min_size=1, max_size=20),
    max_epochs=st.sampled_from([1, 2, 1.5, 2.3]),
    mix=st.sampled_from(
        [
            {"web": 1},
            {"web": 3, "code": 1},
            [[0, {"web": 1, "code": 2}], [90, {"web": 1}]],
            [[0, {"code": 1}], [50, {"web": 1}]],
        ]
    ),
    window=st.sampled_from([64, 10_000]),
    held_out=st.sampled_from([0.0, 0.3]),
)
def test_a_stage_gets_all_of_what_the_refusal_of_a_longer_one_offers(
    tmp_path_factory: pytest.TempPathFactory,
    web: list[int],
    code: list[int],
    max_epochs: float,
    mix: Any,
    window: int,
    held_out: float,
) -> None:
    folders = {"web": Folder([web]), "code": Folder([code], name="code")}

    def made(tokens: int) -> Plan:
        spec = stage(mix=mix, tokens=tokens, max_epochs=max_epochs)
        return plan(tmp_path_factory.mktemp("plan"), spec, folders, held_out=held_out)

    with shrunk(window, 40):
        with pytest.raises(TrainerError, match=r"at most|gives nothing") as refused:
            made(100_000)
        if (offer := re.search("at most ([0-9,]+) tokens", str(refused.value))) is None:
            return
        tokens = int(offer[1].replace(",", ""))
        with pytest.raises(TrainerError, match=f"at most {tokens:,} tokens"):
            made(tokens + 1)
        found = windows(longest := made(tokens))
    seen = targets(found)
    assert max(seen.values()) <= math.ceil(max_epochs)
    drawn = {name: cursor.targets for name, cursor in found[-1].cursors.items()}
    assert tokens <= sum(seen.values()) == sum(drawn.values())
    for name, held in longest.compiler.held.items():
        assert drawn[name] <= held.targets * max_epochs + max(web + code)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("max_epochs", [1, 2, 2.5])
def test_a_stage_may_use_up_all_that_its_caps_allow(tmp_path: Path, max_epochs: float) -> None:
    folders = {"web": Folder([[5] * 101, [5] * 51]), "code": Folder([[3] * 78], name="code")}
    held = {name: folder.manifest.targets for name, folder in folders.items()}
    drawn = {name: int(targets * max_epochs) for name, targets in held.items()}
    spec = stage(
        mix={name: float(n) for name, n in drawn.items()}, tokens=sum(drawn.values()) - 8, max_epochs=max_epochs
    )
    seen = targets(windows(plan(tmp_path, spec, folders)))
    assert max(seen.values()) == -int(-max_epochs // 1)
    assert sum(drawn.values()) - 8 <= sum(seen.values()) <= sum(drawn.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epochs": 1, "loss": {"name": "dpo"}}, "no rows of a packed plan"),
        ({"epochs": 5}, "wants epochs 5.0, its max_epochs is 4.0"),
        ({"epochs": 1, "mix": {"web": 1, "code": 2}}, "leaves its mix"),
        ({"epochs": 1, "seq_len": [[0, 16], [100, 64]]}, "from target 100 on a batch of 32 positions holds no row"),
        ({"epochs": 1, "mix": {"nowhere": 1}}, "'nowhere', which has no segments"),
        ({"epochs": 1, "mix": {"chat": 1}}, "of kind 'chat', its segments of 'data/code' are of kind 'text'"),
        ({"epochs": 1, "mix": {"empty": 1}}, "source 'empty' has no targets"),
    ],
)
def test_what_can_t_be_planned_is_refused_at_once(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    folders = {"web": lognormal(10), "code": lognormal(10, name="code"), "empty": Folder([[1, 0], []], name="empty")}
    sources = {name: SourceSpec() for name in ("web", "code", "nowhere", "empty")} | {"chat": SourceSpec(kind="chat")}
    places = {"web": 0, "code": 1, "chat": 1, "empty": 2}
    with pytest.raises(ValueError, match=why):  # the schema's or the plan's
        Plan(stage(**changes), sources, 0, 0.0, library(*folders.values()), places, tmp_path)
