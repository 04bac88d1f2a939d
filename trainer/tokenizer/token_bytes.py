"""How many bytes of text each id stands for, which is what bits per byte divide by."""

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What SentencePiece-like vocabularies write for a space."""


def token_bytes(tokenizer_json: bytes) -> NDArray[np.int64]:
    """[largest id + 1] UTF-8 bytes; 0 for special tokens and ids that there are none of.

    Args:
      tokenizer_json: a `tokenizer.json` whose decoder is byte-level or falls back to bytes.
    """
    parts = json.loads(tokenizer_json)
    kinds = set(_types(parts.get("decoder"))) | set(_types(parts.get("pre_tokenizer")))
    vocabulary = parts["model"]["vocab"]
    pairs = (
        vocabulary.items() if isinstance(vocabulary, dict) else ((piece, n) for n, (piece, _) in enumerate(vocabulary))
    )
    sizes = {number: _size(piece, "ByteLevel" in kinds) for piece, number in pairs}
    for added in parts.get("added_tokens", ()):
        sizes[added["id"]] = 0 if added["special"] else len(added["content"].encode())
    table = np.zeros(max(sizes, default=-1) + 1, dtype=np.int64)
    table[list(sizes)] = list(sizes.values())
    return table


def _size(piece: str, byte_level: bool) -> int:
    if byte_level:  # one printable character a byte
        return len(piece)
    return 1 if _BYTE.fullmatch(piece) else len(piece.replace(_SPACE, " ").encode())


def _types(part: Any) -> list[str]:
    """The types of a component and of those inside it."""
    if isinstance(part, list):
        return [kind for inner in part for kind in _types(inner)]
    if not isinstance(part, dict):
        return []
    return [part.get("type", ""), *(kind for key, inner in part.items() if key != "type" for kind in _types(inner))]
