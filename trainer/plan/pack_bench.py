"""Padding and time of packing: `python -m trainer.plan.pack_bench`.

Data: 20,000 documents of log-normal lengths (median 403 tokens, sigma 1, seed 0; a mean of 665), cut where they are
longer than a row. For rows of 512 to 131,072 positions: the share of positions that holds nothing, the least that any
packing leaves so (rows are whole), and, for a million documents in rows of 4,096, nanoseconds a document. Prints one
JSON line.
"""

import json
import time

import numpy as np
from numpy.typing import NDArray

from trainer.plan.pack import pack


def sizes(documents: int, seq_len: int) -> NDArray[np.int64]:
    """Positions of the pieces of documents."""
    positions = np.maximum(1, np.random.default_rng(0).lognormal(6, 1, documents).astype(np.int64))
    whole, rest = np.divmod(positions, seq_len)
    return np.concatenate([np.full(whole.sum(), seq_len), rest[rest > 0]])


def padding(seq_len: int) -> dict[str, float]:
    """What is left empty, and what has to be."""
    each = sizes(20_000, seq_len)
    used = int(each.sum())
    rows = len(pack(each, seq_len)[1]) - 1
    least = -(-used // seq_len)
    found, bound = (round(1 - used / (count * seq_len), 6) for count in (rows, least))
    return {"seq_len": seq_len, "rows": rows, "padding": found, "least": bound}


def main() -> None:
    """See the module."""
    table = [padding(seq_len) for seq_len in (512, 1024, 2048, 4096, 8192, 32_768, 131_072)]
    many = sizes(10**6, 4096)
    began = time.perf_counter()
    pack(many, 4096)
    seconds = time.perf_counter() - began
    print(json.dumps({"bench": "pack", "documents": 20_000, "rows": table, "ns_a_document": round(seconds * 1e3)}))


if __name__ == "__main__":
    main()
