"""Which tokenizers outlive a config.json of Qwen 2 beside them."""

import json
from typing import Any

from trainer.tokenizer.bpe import CUTS
from trainer.tokenizer.special import EOS


def is_read_as_it_is(tokenizer_json: bytes) -> bool:
    """Whether transformers 5 reads it unchanged beside a config.json of `model_type: qwen2`.

    There it takes vocabulary, merges, added tokens and post-processor from the file, but builds normaliser and
    pre-tokeniser itself (transformers 5.23, models/qwen2/tokenization_qwen2.py), whatever class is named.
    """
    parts = json.loads(tokenizer_json)
    model = parts["model"]
    return (
        model["type"] == "BPE"
        and not any(model.get(key) for key in ("byte_fallback", "ignore_merges", "unk_token", "fuse_unk"))
        and not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix"))
        and _kinds(parts["normalizer"]) == ["NFC"]
        and _kinds(parts["pre_tokenizer"]) == [CUTS, "ByteLevel"]
        and EOS in {token["content"] for token in parts["added_tokens"]}  # which would be added otherwise
    )


def _kinds(part: dict[str, Any] | None) -> list[str]:
    """The types of a component's parts, in order; of a cut by an expression, the expression."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [kind for inner in part.get("pretokenizers", part.get("normalizers", ())) for kind in _kinds(inner)]
    if part["type"] == "Split" and part.get("behavior") == "Isolated" and not part.get("invert"):
        return [str(part["pattern"].get("Regex"))]
    if part.get("add_prefix_space") or part.get("use_regex"):
        return [f"{part['type']} with more"]
    return [str(part["type"])]
