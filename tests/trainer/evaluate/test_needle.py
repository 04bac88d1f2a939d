"""Needles are found by a model that copies, and by chance otherwise."""

import numpy as np
import pytest

from tests.trainer.evaluate.models import copier, decoder, tokenizer
from trainer.errors import TrainerError
from trainer.evaluate.needle import needle, shortest_row

HAY = np.arange(300, 380)


@pytest.mark.parametrize("name", ["ours", "llama3", "gemma"])
def test_a_copier_finds_all(name: str) -> None:
    own = tokenizer(name)
    assert needle(copier(own), own, HAY, 64, trials=10) == 1.0


def test_chance_finds_a_quarter() -> None:
    own = tokenizer()
    assert 0.05 < needle(decoder(own), own, HAY, 48, trials=60) < 0.5


def test_the_shortest_row_that_holds_any() -> None:
    own = tokenizer()
    least = shortest_row(own)
    assert least == 2 * max(len(own.encode_text(f" Code {number}.")) for number in range(10, 100))
    assert needle(copier(own), own, HAY, least, trials=5) == 1.0
    with pytest.raises(TrainerError, match=rf"needles take {least} tokens, there are {least - 1}"):
        needle(copier(own), own, HAY, least - 1)
    with pytest.raises(TrainerError, match="and 0 of other text"):
        needle(copier(own), own, HAY[:0], 64)


def test_alike_for_a_seed() -> None:
    own = tokenizer()
    model = decoder(own)
    found = [needle(model, own, HAY, 40, seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len(set(found)) > 1
