"""Bytes of text behind every id, for vocabularies of bytes and of characters."""

import json

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from tests.trainer.tokenizer.lookalikes import MAKERS, NAMES, TRICKY
from trainer.tokenizer.token_bytes import token_bytes
from trainer.tokenizer.tokenizer import ROLES, Tokenizer


def load(name: str) -> Tokenizer:
    names = {role: token for role in ROLES if isinstance(token := NAMES[name].get(role), str)}
    return Tokenizer(MAKERS[name](), names)


@pytest.mark.parametrize("name", MAKERS)
def test_a_texts_ids_add_up_to_its_bytes(name: str) -> None:
    tokenizer = load(name)
    sizes = token_bytes(tokenizer.json)
    assert sizes.shape == (tokenizer.largest_id + 1,)
    for text in TRICKY:
        if "▁" in text or "e\u0301" in text:  # what is a blank's sign; what NFC joins
            continue
        assert int(sizes[tokenizer.encode_text(text)].sum()) == len(text.encode()), text


@pytest.mark.parametrize("name", MAKERS)
def test_special_tokens_have_none(name: str) -> None:
    tokenizer = load(name)
    sizes = token_bytes(tokenizer.json)
    assert tokenizer.special
    assert not sizes[list(tokenizer.special.values())].any()


def test_added_tokens_have_their_text() -> None:
    tokenizer = load("qwen2")
    sizes = token_bytes(tokenizer.json)
    (number,) = (n for n, piece in tokenizer.tokens().items() if piece == "<tool_call>")
    assert sizes[number] == 11
    breaks = {piece: number for number, piece in load("gemma").tokens().items() if piece and not piece.strip("\n")}
    gemma = token_bytes(MAKERS["gemma"]())
    assert len(breaks) >= 3
    assert all(gemma[number] == len(piece) for piece, number in breaks.items())


def test_a_vocabulary_with_scores() -> None:
    """Unigram: a list, not a mapping."""
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("▁의자", -1.0), ("<0xEC>", -3.0), ("ab", -1.5)]
    backend = Backend(models.Unigram(pieces, 0, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(["<unk>"])
    assert token_bytes(backend.to_str().encode()).tolist() == [0, 1, 7, 1, 2]


def test_ids_that_are_none() -> None:
    """A vocabulary with a gap."""
    told = {"model": {"vocab": {"a": 0, "bb": 3}}, "decoder": None, "pre_tokenizer": None}
    assert token_bytes(json.dumps(told).encode()).tolist() == [1, 0, 0, 2]
