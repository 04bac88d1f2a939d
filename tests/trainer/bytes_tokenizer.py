"""A tokenizer whose ids are bytes, so that tests can say which tokens there must be."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np


class BytesTokenizer:
    """Id = byte, 256 = EOS."""

    bos_id = None
    eos_id = 256
    pad_id = None
    chat_template = ""
    special: Mapping[str, int] = MappingProxyType({})

    def __init__(self, largest_id: int = 256) -> None:
        self.largest_id = largest_id
        self.json = json.dumps({"bytes": largest_id}).encode()
        self.sha256 = hashlib.sha256(self.json).hexdigest()
        self.dtype = np.dtype(np.uint16 if largest_id <= 65_535 else np.uint32)

    def encode_documents(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array([*text.encode(), self.eos_id], self.dtype) for text in texts]
