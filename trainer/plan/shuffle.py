"""Orders by chance that are the same on every machine: by sorting the raw numbers of a counter keyed by a hash.

NumPy keeps a bit generator's raw stream for good, but not what its shuffles make of it (NEP 19).
"""

import hashlib
import json

import numpy as np
from numpy.typing import NDArray


def order(size: int, *what: str | int) -> NDArray[np.int64]:
    """A permutation of 0 to size - 1, by `what` it is for, such as a seed, a name and a number."""
    key = int.from_bytes(hashlib.sha256(json.dumps(what).encode()).digest()[:16], "little")
    found: NDArray[np.int64] = np.argsort(np.random.Philox(key=key).random_raw(size), kind="stable")
    return found
