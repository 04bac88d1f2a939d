"""Nanoseconds an edge and a pair: union-find over random edges, and edges from the pairs of one hash range.

    python -m dedup.components_bench [--documents 5000000] [--edges 5000000] [--pairs 5000000]

Data: edges with both ends at random (seed 0); pairs whose keys are random, a fifth of them from a pool that makes
buckets of five. Prints one JSON line: time an edge and a pair, bytes a document held, and the keepers' time a document.
"""

import argparse
import json
import time
import tracemalloc

import numpy as np

from dedup.components import Components, choose_keepers
from dedup.match import edges


def union(documents: int, count: int) -> dict[str, float]:
    """All edges in blocks of 100,000."""
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, documents, (100_000, 2)) for _ in range(count // 100_000)]
    components = Components(documents)
    start = time.perf_counter()
    for block in blocks:
        components.add(block)
    added = time.perf_counter()
    labels = components.labels()
    labelled = time.perf_counter()
    keepers = choose_keepers(labels)
    chosen = time.perf_counter()
    return {
        "ns_an_edge": (added - start) / (len(blocks) * 100_000) * 1e9,
        "labels_ns_a_document": (labelled - added) / documents * 1e9,
        "keepers_ns_a_document": (chosen - labelled) / documents * 1e9,
        "members": len(keepers.numbers),
        "bytes_a_document": labels.nbytes / documents,
    }


def matching(count: int) -> dict[str, float]:
    """One range's pairs, in ten slices ordered by key."""
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**63, count, dtype=np.uint64)
    pool = rng.integers(0, 2**63, count // 25, dtype=np.uint64)
    keys[: count // 5] = rng.choice(pool, count // 5)
    keys = rng.permutation(keys)
    numbers = rng.integers(0, count, count)
    slices = [(np.sort(k), n) for k, n in zip(np.array_split(keys, 10), np.array_split(numbers, 10), strict=True)]
    tracemalloc.start()
    start = time.perf_counter()
    found = edges(slices)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"ns_a_pair": seconds / count * 1e9, "edges": len(found), "peak_bytes_a_pair_besides_slices": peak / count}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=5_000_000)
    parser.add_argument("--edges", type=int, default=5_000_000)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    args = parser.parse_args()
    union(1000, 100_000)  # compiles
    matching(1000)
    result = {"union": union(args.documents, args.edges), "match": matching(args.pairs)}
    rounded = {part: {name: round(value, 2) for name, value in values.items()} for part, values in result.items()}
    print(json.dumps({"documents": args.documents, "edges": args.edges, "pairs": args.pairs, **rounded}))


if __name__ == "__main__":
    main()
