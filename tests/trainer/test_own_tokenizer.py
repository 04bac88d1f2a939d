"""Tokenizers trained on samples of a recipe's data, and kept."""

import json
from pathlib import Path

from tests.trainer import nano
from tests.trainer.test_materials import CHAT, MADE, spec
from trainer import arithmetic, own_tokenizer
from trainer.tokenizer.tokenizer import Tokenizer


def test_texts_of_every_kind(tmp_path: Path) -> None:
    web, chats = str(nano.corpus(tmp_path / "web", 90)), str(tmp_path / "chats.jsonl")
    (tmp_path / "chats.jsonl").write_text(json.dumps(CHAT) + "\n")
    better = {"role": "assistant", "content": "좋은 답", "thinking": "음"}
    pair = {"prompt": "더하면?", "chosen": [better], "rejected": "나쁜 답"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    one = spec(
        web={}, other={"where": "language = 'ko'"}, chats={"data": "c", "kind": "chat"},
        pairs={"data": "p", "kind": "preference"}, **MADE,
    )  # fmt: skip
    found = list(own_tokenizer.sample_texts(one, {"": web, "c": chats, "p": str(tmp_path / "pairs.jsonl")}))
    assert "물은?\n흐른다" in found
    assert "더하면?\n음\n좋은 답\n나쁜 답" in found
    first = arithmetic.conversations(20, one.seed)[0]
    assert "\n".join(message.content for message in first.messages) in found
    assert sum(text.count("\n") > 0 for text in found) == 2 + 15  # a quarter of 60 each of four data sets
    tokenizer = own_tokenizer.trained(one, {"": web, "c": chats, "p": str(tmp_path / "pairs.jsonl")})
    assert tokenizer.largest_id == 319


def test_a_tokenizer_that_is_kept(tmp_path: Path) -> None:
    """Made once; what a killed process left half written counts for nothing."""
    (tmp_path / ".tokenizer").mkdir()
    (tmp_path / ".tokenizer/tokenizer.json").write_text("{")
    made: list[Tokenizer] = []

    def make() -> Tokenizer:
        made.append(own_tokenizer.trained(spec(**MADE), {}))
        return made[-1]

    for _ in range(2):
        assert own_tokenizer.kept(tmp_path / "tokenizer", make).sha256 == made[0].sha256
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]
