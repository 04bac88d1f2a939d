"""Milliseconds to sign a text, by step, and against rensa and datatrove, alternating within one run.

    python -m dedup.minhash_bench [--texts FILE.jsonl.gz] [--rounds 3]
        [--rensa PYTHON_WITH_RENSA_0.5.0] [--datatrove PYTHON_WITH_DATATROVE_0.10.1]

Data: the `text` column of a JSONL file; without one 300 texts of 822 words of 5,000 made-up ones (Zipf, seed 0).
Each peer runs in an interpreter of its own, in turns with ours: rensa from text to signature, with its own, simpler
normalisation (`[\\W_]+` to blanks, split at white space); datatrove from text to signature. Prints one JSON line: the
median over rounds for each, our steps, and peers' times over ours.
"""

import argparse
import gzip
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dedup.minhash import MinHash, least, permutations
from dedup.shingles import sha1_hashes, slices
from schemas.records import Document
from text.normalise import normalise
from text.words import segmenter

RENSA = """
import json, re, sys, time
from rensa import RMinHash
not_word = re.compile(r"[\\W_]+")
texts = json.load(sys.stdin)
def sign(text):
    words = not_word.sub(" ", text.lower()).split()
    sketch = RMinHash(num_perm=112, seed=42)
    sketch.update([" ".join(words[i : i + 5]) for i in range(max(len(words) - 4, 1))])
    return sketch.digest()
for text in texts[:20]:
    sign(text)
start = time.perf_counter()
for text in texts:
    sign(text)
print((time.perf_counter() - start) / len(texts) * 1e3)
"""

DATATROVE = """
import json, sys, tempfile, time
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.hashing import HashConfig
texts = json.load(sys.stdin)
config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1", precision=64))
stage = MinhashDedupSignature(output_folder=tempfile.mkdtemp(), config=config)
sign = lambda text: stage.get_signature(stage.get_shingles(text))
for text in texts[:20]:
    sign(text)
start = time.perf_counter()
for text in texts:
    sign(text)
print((time.perf_counter() - start) / len(texts) * 1e3)
"""


def generated() -> list[str]:
    """300 texts of 822 words."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(5000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    marks = ["", "", "", "", "", "", ",", ".", ".\n"]
    return [" ".join(w + rng.choice(marks) for w in rng.choices(words, weights, k=822)) for _ in range(300)]


def milliseconds(work: Callable[[Any], Any], items: list[Any]) -> float:
    """Mean time for an item."""
    for item in items[:20]:
        work(item)
    start = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - start) / len(items) * 1e3


def steps(texts: list[str]) -> dict[str, float]:
    """Our steps, each on what the one before gave."""
    words_of = segmenter("").words
    normal = [normalise(text) for text in texts]
    words = [w for w in map(words_of, normal) if len(w) >= 5]
    cut = [slices(w, 5) for w in words]
    hashes = [sha1_hashes(*c) for c in cut]
    parameters = permutations(1, 112)
    return {
        "normalise": milliseconds(normalise, texts),
        "words": milliseconds(words_of, normal),
        "slices": milliseconds(lambda w: slices(w, 5), words),
        "sha1": milliseconds(lambda c: sha1_hashes(*c), cut),
        "permutations": milliseconds(lambda h: least(h, *parameters), hashes),
    }


def peer(python: str, script: str, texts: list[str]) -> float:
    """A peer's milliseconds a text, in its own interpreter."""
    run = subprocess.run([python, "-c", script], input=json.dumps(texts), capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rensa")
    parser.add_argument("--datatrove")
    args = parser.parse_args()
    texts = generated()
    if args.texts:
        with gzip.open(args.texts, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
    stage = MinHash()
    peers = {"rensa": (args.rensa, RENSA), "datatrove": (args.datatrove, DATATROVE)}
    times: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        times.setdefault("ours", []).append(milliseconds(lambda t: stage.keys(Document(t)), texts))
        for name, (python, script) in peers.items():
            if python:
                times.setdefault(name, []).append(peer(python, script, texts))
    medians = {name: statistics.median(found) for name, found in times.items()}
    result = {
        "texts": len(texts),
        "mean_words": round(float(np.mean([len(t.split()) for t in texts]))),
        "ms_a_text": {name: round(value, 3) for name, value in medians.items()},
        "steps_ms": {name: round(value, 4) for name, value in steps(texts).items()},
        "ratio_to_ours": {name: round(value / medians["ours"], 2) for name, value in medians.items() if name != "ours"},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
