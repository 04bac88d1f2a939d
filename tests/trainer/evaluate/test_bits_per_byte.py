"""Losses equal to what a full softmax gives, whatever stands beside a text."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch

from schemas.training import ModelSpec
from tests.trainer.evaluate.models import decoder, tokenizer
from trainer.evaluate.bits_per_byte import TEXTS_AT_ONCE, Loss, Text, evaluate
from trainer.evaluate.log_probs import Ids, continued, log_probs
from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder

TEXTS = [
    Text("The cat sat on the mat.", {"language": "en", "domain": "a.example"}),
    Text("고양이가 의자에 앉았다.", {"language": "ko", "domain": "a.example"}),
    Text("def f(x):\n    return x + 1\n" * 9, {"language": "en", "domain": ""}),
    Text("", {"language": "en", "domain": ""}),
    Text("a", {"language": "", "domain": "b.example"}),
    Text("quotes “”… 👍🏽", {"language": "en", "domain": "b.example"}),
]


@pytest.mark.parametrize("name", ["ours", "llama3", "gemma"])
def test_as_a_full_softmax(name: str) -> None:
    """Nats, targets and bytes by hand, each text on its own."""
    own = tokenizer(name)
    model = decoder(own)
    nats, targets, size = 0.0, 0, 0
    for text in TEXTS:
        ids = own.encode(text.text)[:64]
        if not ids:
            continue
        with torch.no_grad():
            scores = model.logits(model(torch.tensor([ids])))[0].double().softmax(-1).log()
        nats -= sum(float(scores[at, number]) for at, number in enumerate(ids[1:]))
        targets += len(ids) - 1
        size += len(own.decode(ids[1:]).encode())
    whole, _ = evaluate(model, own, TEXTS, 64)
    assert (whole.targets, whole.bytes, whole.texts) == (targets, size, len(TEXTS))
    assert whole.nats == pytest.approx(nats, rel=1e-6)
    assert whole.loss == pytest.approx(nats / targets)
    assert whole.bits_per_byte == pytest.approx(nats / targets / math.log(2) * targets / size)
    assert whole.loss > 2


def test_the_first_of_a_text_is_no_target() -> None:
    """Where the tokenizer adds a BOS that is the first, and all of the text is scored."""
    text = [Text("The mat.", {})]
    ours, llama = tokenizer(), tokenizer("llama3")
    alone, behind = (evaluate(decoder(own), own, text, 64)[0] for own in (ours, llama))
    assert alone.targets == len(ours.encode_text("The mat.")) - 1
    assert behind.targets == len(llama.encode_text("The mat."))
    assert (alone.bytes, behind.bytes) == (len(" mat."), len("The mat."))


def test_groups() -> None:
    own = tokenizer()
    whole, groups = evaluate(decoder(own), own, TEXTS, 64)
    assert {kind: sorted(found) for kind, found in groups.items()} == {
        "language": ["en", "ko"],
        "domain": ["a.example", "b.example"],
    }
    assert [groups["language"][name].texts for name in ("en", "ko")] == [4, 1]
    one, _ = evaluate(decoder(own), own, [TEXTS[1]], 64)
    assert groups["language"]["ko"].nats == pytest.approx(one.nats)
    others = groups["language"]["en"].targets + groups["language"]["ko"].targets
    assert whole.targets == others  # the text without a language has one token


def test_company_and_order_do_not_matter() -> None:
    own = tokenizer()
    model = decoder(own)
    alone = [evaluate(model, own, [text], 64)[0] for text in TEXTS]
    many = [TEXTS[n % len(TEXTS)] for n in range(TEXTS_AT_ONCE + 10)]
    whole, _ = evaluate(model, own, iter(many), 64)
    assert whole.texts == len(many)
    assert whole.nats == pytest.approx(sum(alone[n % len(TEXTS)].nats for n in range(len(many))), rel=1e-6)
    assert evaluate(model, own, many[::-1], 64)[0].nats == pytest.approx(whole.nats, rel=1e-6)


def test_nothing_scored_is_no_number() -> None:
    own = tokenizer()
    whole, groups = evaluate(decoder(own), own, [Text("", {"language": "en"})], 64)
    assert (whole.targets, whole.texts) == (0, 1)
    assert math.isnan(whole.loss)
    assert math.isnan(whole.bits_per_byte)
    assert groups["language"]["en"].texts == 1
    assert Loss(nats=2 * math.log(2), targets=1, bytes=4).bits_per_byte == pytest.approx(0.5)


@pytest.mark.parametrize("tokens_at_once", [1, 40, 10_000])
def test_rows_by_length_in_their_order(tokens_at_once: int) -> None:
    own = tokenizer()
    model = decoder(own)
    random = np.random.default_rng(1)
    rows = [random.integers(0, own.largest_id, size).astype(np.uint16) for size in (5, 0, 1, 33, 2, 17, 33)]
    found = log_probs(model, rows, tokens_at_once=tokens_at_once)
    assert [len(scores) for scores in found] == [4, 0, 0, 32, 1, 16, 32]
    for row, scores in zip(rows, found, strict=True):
        (alone,) = log_probs(model, [row])
        assert scores == pytest.approx(alone, rel=1e-5)


def test_the_last_tokens_alone() -> None:
    own = tokenizer()
    model = decoder(own)
    rows = [np.arange(3, 23), np.arange(40, 45), np.array([7])]
    whole = log_probs(model, rows)
    found = log_probs(model, rows, last=[3, 99, 1])
    assert [len(scores) for scores in found] == [3, 4, 0]
    for scores, all_of_them in zip(found, whole, strict=True):
        assert scores == pytest.approx(all_of_them[len(all_of_them) - len(scores) :], rel=1e-5)
    assert log_probs(model, []) == []


def test_what_is_read_together_is_bounded_with_its_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind beginnings of no token at all."""
    seen: list[int] = []

    def noted(spec: ModelSpec, rows: int, capacity: int, **options: Any) -> KeyValueCache:
        seen.append(rows * capacity)
        return KeyValueCache(spec, rows, capacity, **options)

    monkeypatch.setattr("trainer.evaluate.log_probs.KeyValueCache", noted)
    model = decoder(tokenizer())
    beginnings = [np.arange(n % 3) for n in range(60)]
    endings = [[np.arange(1 + n % 7), np.arange(12)] for n in range(60)]
    continued(model, beginnings, endings, 50)
    assert max(seen) <= 50


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("tokens_at_once", [1, 30, 10_000])
def test_endings_are_scored_as_whole_rows_are(family: Literal["gpt2", "llama", "qwen2"], tokens_at_once: int) -> None:
    """Each beginning read once, alone or with others of its length."""
    own = tokenizer()
    model = decoder(own, family=family).double()
    random = np.random.default_rng(2)

    def some(*sizes: int) -> list[Ids]:
        return [random.integers(0, own.largest_id, size).astype(np.uint16) for size in sizes]

    beginnings = some(12, 5, 12, 1, 12, 0)
    endings = [some(3, 1, 4), some(2), some(5, 2), some(1, 4), [], some(3, 1)]
    found = continued(model, beginnings, endings, tokens_at_once)
    assert [[len(scores) for scores in each] for each in found] == [[3, 1, 4], [2], [5, 2], [1, 4], [], [2, 0]]
    for beginning, ends, each in zip(beginnings, endings, found, strict=True):
        for end, scores in zip(ends, each, strict=True):
            (whole,) = log_probs(model, [np.concatenate([beginning, end])], last=[len(end)])
            assert scores == pytest.approx(whole, abs=1e-10)
    assert continued(model, [], []) == []


def test_a_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    forward = Decoder.forward

    def counted(model: Decoder, tokens: torch.Tensor, **options: Any) -> torch.Tensor:
        read.append(tokens.numel())
        return forward(model, tokens, **options)

    monkeypatch.setattr(Decoder, "forward", counted)
    continued(decoder(tokenizer()), [np.arange(50)] * 2, [[np.arange(n, n + 4) for n in range(4)]] * 2)
    assert read == [2 * 49, *[2 * 4] * 4]
