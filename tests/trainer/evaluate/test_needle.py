"""Needles are found by a model that copies, and by chance otherwise."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.trainer.evaluate.models import copier, decoder, habit, tokenizer
from trainer.errors import TrainerError
from trainer.evaluate.log_probs import Ids, continued
from trainer.evaluate.needle import haystack, needle, shortest_row
from trainer.model.decoder import Decoder

HAY = np.arange(300, 380)


@pytest.mark.parametrize("name", ["ours", "llama3", "gemma"])
def test_a_copier_finds_all(name: str) -> None:
    own = tokenizer(name)
    assert needle(copier(own), own, HAY, 64, trials=10) == 1.0


def test_chance_finds_a_quarter() -> None:
    own = tokenizer()
    assert 0.05 < needle(decoder(own), own, HAY, 48, trials=60) < 0.5


def test_a_model_to_which_all_are_alike_finds_none() -> None:
    own = tokenizer()
    assert needle(habit(own), own, HAY, 48, trials=10) == 0.0


def test_the_shortest_row_that_holds_any() -> None:
    own = tokenizer()
    least = shortest_row(own)
    assert least == 2 * max(len(own.encode_text(f" Code {number}.")) for number in range(10, 100))
    assert needle(copier(own), own, HAY, least, trials=5) == 1.0
    with pytest.raises(TrainerError, match=rf"needles take {least} tokens, there are {least - 1}"):
        needle(copier(own), own, HAY, least - 1)
    with pytest.raises(TrainerError, match="and 0 of other text"):
        needle(copier(own), own, HAY[:0], 64)


@pytest.mark.parametrize("name", ["ours", "llama3"])
def test_a_prompt_is_one_document(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No end of one stands between needle and question."""
    own = tokenizer(name)
    read: list[tuple[Ids, Sequence[Ids]]] = []

    def remembered(model: Decoder, beginnings: Sequence[Ids], endings: Sequence[Sequence[Ids]]) -> Any:
        read.extend(zip(beginnings, endings, strict=True))
        return continued(model, beginnings, endings)

    monkeypatch.setattr("trainer.evaluate.needle.continued", remembered)
    needle(decoder(own), own, haystack(own, ["The cat sat", "on the mat."], 1_000), 64, trials=5)
    for beginning, endings in read:
        ids = beginning.tolist()
        assert len(ids) + max(map(len, endings)) == 64
        assert [n for n in ids if n in own.special.values()] == ids[: own.bos_id is not None]
        assert own.decode(endings[0].tolist()) in own.decode(ids)
    with pytest.raises(TrainerError, match="and 0 of other text"):
        needle(decoder(own), own, np.array([own.eos_id]), 64)


def test_alike_for_a_seed() -> None:
    own = tokenizer()
    model = decoder(own)
    found = [needle(model, own, HAY, 40, seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len(set(found)) > 1


def test_a_haystack_is_the_first_documents() -> None:
    own = tokenizer()
    texts = ["The cat", "", "sat", "mat"]
    ids = np.concatenate(own.encode_documents(["The cat", "sat", "mat"]))
    assert haystack(own, texts, 10_000).tolist() == ids.tolist()
    assert haystack(own, texts, 5).tolist() == ids[:5].tolist()
    assert len(haystack(own, [""], 5)) == 0


def test_a_haystack_reads_no_further_than_it_needs() -> None:
    own, read = tokenizer(), []

    def texts() -> Iterator[str]:
        for text in ("The cat", "sat"):
            read.append(text)
            yield text

    haystack(own, texts(), 2)
    assert read == ["The cat"]
