import pytest
import torch

from tests.trainer.losses.batches import batch, decoder, document, log_prob
from trainer.losses.next_token import next_token

ROWS = [[document(9, 1, 1), document(7, 3, 2)], [document(15, 6, 3)], []]
"""Two documents, one, and a row that only fills up."""


def test_is_the_hand_computed_sum() -> None:
    model = decoder(1)
    total, count = next_token(model, batch(ROWS, 16))
    documents = [one for row in ROWS for one in row]
    expected = -sum(log_prob(model, one) for one in documents)
    assert count.item() == sum(sum(mask[1:]) for _, mask in documents) == 8 + 4 + 9
    assert total.item() == pytest.approx(expected.item(), rel=1e-10, abs=0)


def test_gradients_are_those_of_the_sum() -> None:
    model, twin = decoder(1), decoder(1)
    next_token(model, batch(ROWS, 16))[0].backward()
    (-sum(log_prob(twin, one) for row in ROWS for one in row)).backward()
    for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-10)


def test_a_row_that_only_fills_up_adds_nothing() -> None:
    model = decoder(1)
    total, count = next_token(model, batch([[], []], 16))
    total.backward()
    assert (total.item(), count.item()) == (0, 0)
    assert all(not parameter.grad.any() for parameter in model.parameters())


def test_float32_is_near() -> None:
    total, _ = next_token(decoder(1, torch.float32), batch(ROWS, 16))
    wide, _ = next_token(decoder(1), batch(ROWS, 16))
    assert total.item() == pytest.approx(wide.item(), rel=1e-5)
