import math

import pytest
import torch

from schemas.training import LossSpec
from tests.trainer.losses.batches import Document, batch, decoder, document, log_prob
from trainer.batch import Batch
from trainer.losses.dpo import dpo

PAIRS = [
    (document(9, 4, 1), document(7, 4, 2)),
    (document(6, 2, 3), document(8, 2, 4)),
    (document(15, 6, 5), document(14, 3, 6)),
]


def packed() -> Batch:
    """The first two pairs share two rows; the last rows only fill up."""
    first, second, third = PAIRS
    return batch([[first[0], second[0]], [first[1], second[1]], [third[0]], [third[1]], [], []], 16)


def by_hand(pairs: list[tuple[Document, Document]], beta: float, nll: float) -> float:
    policy, reference = decoder(1), decoder(2)
    total = 0.0
    for chosen, rejected in pairs:
        ratio = [log_prob(policy, one).item() - log_prob(reference, one).item() for one in (chosen, rejected)]
        total += math.log1p(math.exp(-beta * (ratio[0] - ratio[1])))
        total -= nll * log_prob(policy, chosen).item() / sum(chosen[1][1:])
    return total


@pytest.mark.parametrize(("beta", "nll"), [(0.1, 0.0), (0.5, 0.0), (0.1, 0.2), (0.01, 1.0)])
def test_is_the_hand_computed_sum(beta: float, nll: float) -> None:
    total, count = dpo(decoder(1), decoder(2), packed(), LossSpec(name="dpo", beta=beta, nll=nll))
    assert count.item() == 3
    assert total.item() == pytest.approx(by_hand(PAIRS, beta, nll), rel=1e-10, abs=0)


def test_pairs_together_are_pairs_alone() -> None:
    spec = LossSpec(name="dpo", nll=0.2)
    alone = [dpo(decoder(1), decoder(2), batch([[one], [other]], 16), spec)[0].item() for one, other in PAIRS]
    assert dpo(decoder(1), decoder(2), packed(), spec)[0].item() == pytest.approx(sum(alone), rel=1e-12)


def test_gradients_are_those_of_the_formula() -> None:
    spec = LossSpec(name="dpo", beta=0.3, nll=0.2)
    policy, reference, twin = decoder(1), decoder(2), decoder(1)
    dpo(policy, reference, packed(), spec)[0].backward()
    for chosen, rejected in PAIRS:
        ratios = [log_prob(twin, one) - log_prob(reference, one).detach() for one in (chosen, rejected)]
        loss = torch.log1p(torch.exp(-0.3 * (ratios[0] - ratios[1])))
        (loss - 0.2 * log_prob(twin, chosen) / sum(chosen[1][1:])).backward()
    for found, expected in zip(policy.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-10)
    assert all(parameter.grad is None for parameter in reference.parameters())


def test_against_itself_it_is_log_2() -> None:
    total, count = dpo(decoder(1), decoder(1), packed(), LossSpec(name="dpo"))
    assert (total / count).item() == pytest.approx(math.log(2), rel=1e-14)


def test_only_filled_up_rows() -> None:
    policy = decoder(1)
    total, count = dpo(policy, decoder(2), batch([[], []], 16), LossSpec(name="dpo", nll=0.2))
    total.backward()
    assert (total.item(), count.item()) == (0, 0)
    assert all(not parameter.grad.any() for parameter in policy.parameters())


def test_extreme_ratios_stay_finite() -> None:
    policy = decoder(1)
    total, _ = dpo(policy, decoder(2), packed(), LossSpec(name="dpo", beta=1e4))
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.parameters())
