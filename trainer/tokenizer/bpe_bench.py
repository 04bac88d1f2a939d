"""Bytes a token by language for ways to cut text, seconds to train, and what encoding does a second.

    python -m trainer.tokenizer.bpe_bench FILE.jsonl.gz … [--vocabulary 24000] [--languages ko,en]

Data: JSONL files with `text` and `language`. Of each language's texts, in order of a hash, three quarters train and one
quarter is measured. `scripts` are our cuts with Hangul, jamo and other letters apart. Prints one JSON line.
"""

import argparse
import gzip
import json
import time
from collections import defaultdict

import numpy as np
import xxhash

from schemas.training import TokenizerSpec
from trainer.tokenizer import bpe
from trainer.tokenizer.report import measure
from trainer.tokenizer.tokenizer import Tokenizer

SYLLABLES, JAMO = r"가-힣ᄀ-ᇿꥠ-꥿ힰ-퟿", "ㄱ-ㆎ"
WAYS = {
    "ours": bpe.CUTS,
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": bpe.CUTS.replace(r"\p{N}|", r"\p{N}{1,3}|"),
    "scripts": bpe.CUTS.replace(r"\p{L}+|", rf"(?:[{SYLLABLES}]+|[{JAMO}]+|[\p{{L}}&&[^{SYLLABLES}{JAMO}]]+)|"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--vocabulary", type=int, default=24_000)
    parser.add_argument("--languages", default="ko,en")
    given = parser.parse_args()
    texts = read(given.files, given.languages.split(","))
    training = [text for some in texts.values() for text in some[len(some) // 4 :]]
    measured = [(language, text) for language, some in texts.items() for text in some[: len(some) // 4]]
    told: dict[str, object] = {"vocabulary": given.vocabulary, "training_bytes": sum(len(t.encode()) for t in training)}
    spec = TokenizerSpec(vocab_size=given.vocabulary)
    for name, cuts in WAYS.items():
        bpe.CUTS = cuts
        start = time.perf_counter()
        tokenizer = Tokenizer.from_json(bpe.train(training, spec))
        seconds = time.perf_counter() - start
        fits = {fit.language: round(fit.bytes_per_token, 4) for fit in measure(measured, tokenizer).languages}
        told[name] = {"bytes_per_token": fits, "training_s": round(seconds, 2)}
        if name == "ours":
            told["encoding"] = speed(tokenizer, training)
    print(json.dumps(told))


def read(files: list[str], languages: list[str]) -> dict[str, list[str]]:
    """Texts by language, in order of their hashes."""
    found = defaultdict(list)
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as opened:
            for row in map(json.loads, opened):
                if row.get("language") in languages:
                    found[row["language"]].append(row["text"])
    return {language: sorted(some, key=hashed) for language, some in sorted(found.items())}


def hashed(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode())


def speed(tokenizer: Tokenizer, texts: list[str]) -> dict[str, float]:
    """Of `encode_documents` over all texts, the median of five rounds."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        documents = tokenizer.encode_documents(texts)
        seconds.append(time.perf_counter() - start)
    size, tokens = sum(len(text.encode()) for text in texts), sum(map(len, documents))
    median = float(np.median(seconds))
    return {"megabytes_per_s": round(size / median / 1e6, 2), "tokens_per_s": round(tokens / median)}


if __name__ == "__main__":
    main()
