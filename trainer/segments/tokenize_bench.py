"""Times tokenizing: `python -m trainer.segments.tokenize_bench DIR TOKENIZER [WORKERS …]`, DIR a curated folder.

For each number of processes (1 and as many as there are cores, if none is given) the whole way: shards verified, texts
encoded, segments sealed and hashed. Beside it the encoder alone, with its own threads over batches of 256 texts that
lie in memory. Prints one JSON line: tokens a second of wall time.
"""

import json
import os
import sys
import tempfile
import time

from trainer.corpus import Corpus
from trainer.segments.read import Segments
from trainer.segments.tokenize import tokenize
from trainer.tokenizer.tokenizer import Tokenizer


def main(data: str, path: str, *workers: str) -> None:
    """Prints one JSON line."""
    tokenizer, cores = Tokenizer.load(path), len(os.sched_getaffinity(0))
    row: dict[str, object] = {"bench": "tokenize", "cores": cores}
    for count in [int(given) for given in workers] or [1, cores]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            made = tokenize(data, "text", tokenizer, folder, workers=count)
            seconds = time.perf_counter() - began
            segments = Segments.open(made).manifest.segments
            tokens = sum(segment.tokens for segment in segments)
            row |= {"tokens": tokens, "bytes": sum(segment.text_bytes for segment in segments)}
            row[f"workers_{count}"] = round(tokens / seconds)
    corpus = Corpus(data)
    batches = [batch["text"].to_pylist() for shard in corpus.shards for batch in corpus.rows(shard)]
    began = time.perf_counter()
    tokens = sum(len(ids) for texts in batches for ids in tokenizer.encode_documents(texts))
    row["encoder_alone"] = round(tokens / (time.perf_counter() - began))
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
