import json
import math

import pytest
import torch

from schemas.training import GuardSpec
from trainer.train.guards import Decision, Guards, not_finite

NORMAL = [(3.0 + 0.01 * math.sin(i), 1.0 + 0.05 * math.cos(i)) for i in range(40)]


def warmed(policy: GuardSpec | None = None) -> Guards:
    guards = Guards(policy or GuardSpec())
    assert all(guards.judge(step, "s", *pair) for step, pair in enumerate(NORMAL, 1))
    assert guards.decisions == []
    return guards


@pytest.mark.parametrize(
    ("loss", "norm", "decision"),
    [
        (math.nan, 1.0, Decision(41, "s", "loss_not_finite", None, 1.0, None, False)),
        (math.inf, math.nan, Decision(41, "s", "loss_not_finite", None, None, None, False)),
        (3.0, math.inf, Decision(41, "s", "gradient_not_finite", 3.0, None, None, False)),
    ],
)
def test_what_is_not_finite_moves_nothing(loss: float, norm: float, decision: Decision) -> None:
    guards = warmed()
    assert guards.judge(41, "s", loss, norm) is False
    assert guards.decisions == [decision]
    assert not guards.exhausted


def test_several_in_a_row_end_it() -> None:
    guards = Guards(GuardSpec(max_skips=2))
    for step in (1, 2):
        assert guards.judge(step, "s", math.nan, 1.0) is False
    assert not guards.exhausted
    assert guards.judge(3, "s", 2.0, 1.0) is True  # a good one between starts the count anew
    for step in (4, 5, 6):
        assert not guards.exhausted
        guards.judge(step, "s", math.nan, 1.0)
    assert guards.exhausted


def test_weights_are_proven_by_the_next_finite_step() -> None:
    guards, proven = Guards(), []
    for step, loss in enumerate([3.0, 3.0, math.nan, math.nan, 3.0, 3.0], 1):
        guards.judge(step, "s", loss, 1.0)
        proven.append(guards.proven(step))
    assert proven == [0, 1, 1, 1, 4, 5]  # those behind steps 2, 3 and 4 are the same


def test_steps_without_a_target_prove_nothing() -> None:
    guards, proven = Guards(), []
    for step, loss in enumerate([3.0, None, None, math.nan, None, 3.0, None], 1):
        guards.pass_idle() if loss is None else guards.judge(step, "s", loss, 1.0)
        proven.append(guards.proven(step))
    assert proven == [0, 0, 0, 0, 0, 5, 5]
    assert guards.not_finite == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_that_are_not_finite_are_named(bad: float, dtype: torch.dtype) -> None:
    huge = torch.full((50, 3), torch.finfo(dtype).max, dtype=dtype)
    broken = huge.clone()
    broken[7, 1] = bad
    tensors = {"a": huge, "b": broken, "count": torch.tensor([3]), "step": torch.tensor(bad, dtype=dtype)}
    assert not_finite(tensors) == ["b", "step"]
    assert not_finite({"a": huge}) == []


def test_an_outlier_is_passed_over() -> None:
    guards = warmed()
    assert guards.judge(41, "s", 9.0, 20.0) is False
    (decision,) = guards.decisions
    assert (decision.reason, decision.applied, decision.step, decision.loss) == ("loss_spike", False, 41, 9.0)
    assert decision.median == pytest.approx(3.0, abs=0.01)
    assert guards.judge(42, "s", 3.0, 1.0) is True


def test_a_high_loss_alone_is_noted_once() -> None:
    guards = warmed()
    assert [guards.judge(step, "s", 4.0, 1.0) for step in range(41, 50)] == [True] * 9
    assert [(decision.step, decision.applied) for decision in guards.decisions] == [(41, True)]


def test_outliers_in_a_row_are_the_new_normal() -> None:
    guards = warmed(GuardSpec(max_skips=2))
    assert [guards.judge(step, "s", 9.0, 20.0) for step in range(41, 46)] == [False, False, True, True, True]
    assert [decision.step for decision in guards.decisions] == [41, 42]


def test_report_applies_everything() -> None:
    guards = warmed(GuardSpec(spike="report"))
    assert guards.judge(41, "s", 9.0, 20.0) is True
    assert [decision.applied for decision in guards.decisions] == [True]


@pytest.mark.parametrize(("loss", "spike"), [(3.29, False), (3.31, True)])
def test_threshold(loss: float, spike: bool) -> None:
    guards = Guards(GuardSpec(window=16, sigmas=10))
    for step in range(4):
        guards.judge(step, "s", 3.0, 1.0)  # no spread: a hundredth of the median stands for it
    guards.judge(5, "s", loss, 1.0)
    assert [decision.reason for decision in guards.decisions] == (["loss_spike"] if spike else [])


def test_too_little_history_judges_nothing() -> None:
    guards = Guards(GuardSpec(window=16))
    assert [guards.judge(step, "s", loss, loss) for step, loss in enumerate([3.0, 3.0, 3.0, 99.0])] == [True] * 4


def test_a_new_stage_forgets_what_was_normal() -> None:
    guards = warmed()
    guards.begin_stage()
    assert guards.judge(41, "t", 9.0, 20.0) is True
    assert guards.decisions == []


def test_goes_on_as_it_would_have() -> None:
    losses = [*NORMAL, (9.0, 20.0), (math.nan, 1.0), *NORMAL[:20], (8.0, 30.0), (8.0, 30.0)]
    for cut in (10, 41, 42, 63):
        whole, first, second = Guards(), Guards(), Guards()
        expected = [whole.judge(step, "s", *pair) for step, pair in enumerate(losses)]
        found = [first.judge(step, "s", *pair) for step, pair in enumerate(losses[:cut])]
        second.restore(json.loads(json.dumps(first.state())))
        found += [second.judge(step, "s", *pair) for step, pair in enumerate(losses[cut:], cut)]
        assert found == expected
        assert second == whole
