"""Models to evaluate: one drawn by chance, and two whose answers are known."""

import json
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from schemas.training import ModelSpec
from tests.trainer.tokenizer.lookalikes import MAKERS, NAMES
from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import ROLES, Tokenizer


def tokenizer(name: str = "ours") -> Tokenizer:
    """A look-alike."""
    names = {role: token for role in ROLES if isinstance(token := NAMES[name].get(role), str)}
    return Tokenizer(MAKERS[name](), names)


def adding_eos() -> Tokenizer:
    """Ours, but that it adds an EOS behind a text."""
    plain = tokenizer()
    told = json.loads(plain.json)
    name = plain.names["eos_token"]
    told["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": name, "type_id": 0}}],
        "pair": [],
        "special_tokens": {name: {"id": name, "ids": [plain.eos_id], "tokens": [name]}},
    }
    return Tokenizer(json.dumps(told).encode(), plain.names)


def decoder(own: Tokenizer, context: int = 64, family: Literal["gpt2", "llama", "qwen2"] = "llama") -> Decoder:
    """Far from uniform."""
    spec = ModelSpec(family=family, layers=2, dim=16, heads=2, ffn_dim=32, context=context)
    made = Decoder(spec, own.largest_id + 1, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(std=0.3, generator=torch.Generator().manual_seed(6)))
    return made


class _Rigged(nn.Module):
    """Hidden states are logits; in a cache it keeps ids."""

    spec = ModelSpec(family="llama", layers=1, dim=1, heads=1, context=64)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        if cache is None:
            return self.bets(tokens)
        kept = tokens[:, None, :, None].float()
        whole, _ = cache.layers[0].extend(kept, kept)
        return self.bets(whole[:, 0, :, 0].long())[:, -tokens.shape[1] :]

    def bets(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


class _Copier(_Rigged):
    """Bets on what followed the last time that the last ids stood in the row."""

    def bets(self, tokens: Tensor) -> Tensor:
        found = torch.zeros(*tokens.shape, self.size)
        for row, ids in enumerate(tokens.tolist()):
            for at in range(len(ids)):
                for size in range(min(at, 12), 0, -1):
                    tail = ids[at + 1 - size : at + 1]
                    before = [n for n in range(at - size, -1, -1) if ids[n : n + size] == tail]
                    if before:
                        found[row, at, ids[before[0] + size]] = 20.0
                        break
        return found


class _Habit(_Rigged):
    """The same odds for the next id, whatever came before."""

    def __init__(self, size: int, odds: dict[int, float]) -> None:
        super().__init__(size)
        self.odds = odds

    def bets(self, tokens: Tensor) -> Tensor:
        found = torch.zeros(self.size)
        for number, bet in self.odds.items():
            found[number] = bet
        return found.expand(*tokens.shape, self.size)


def copier(own: Tokenizer) -> Decoder:
    return cast(Decoder, _Copier(own.largest_id + 1))


def habit(own: Tokenizer, **odds: float) -> Decoder:
    """Odds by word: each word's single id behind a blank."""
    found: dict[int, Any] = {}
    for word, bet in odds.items():
        for number in own.encode_text(f" {word}"):
            found[number] = bet
    return cast(Decoder, _Habit(own.largest_id + 1, found))
