"""Times `normalise`: `python -m text.normalise_bench TEXTS.jsonl[.gz] [FIELD]`, one JSON text a line.

Prints the median over rounds of the milliseconds per text.
"""

import gzip
import json
import statistics
import sys
import time
from pathlib import Path

from text.normalise import normalise


def main(path: str, field: str = "text", *, rounds: int = 5) -> None:
    """Reads `field` of every line of `path` and prints one JSON line."""
    raw = Path(path).read_bytes()
    lines = (gzip.decompress(raw) if path.endswith(".gz") else raw).splitlines()
    texts = [text for text in (json.loads(line).get(field) for line in lines) if text]
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for text in texts:
            normalise(text)
        seconds.append(time.perf_counter() - start)
    row = {
        "bench": "normalise",
        "texts": len(texts),
        "mean_chars": round(sum(map(len, texts)) / len(texts)),
        "ms_per_text": round(1e3 * statistics.median(seconds) / len(texts), 4),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:3])
