"""Times the four text rules: `python -m curation.rules.rules_bench TEXTS.jsonl[.gz] [FIELD] [LANGUAGE]`.

One JSON text a line. Every rule measures all it can of every text, in FineWeb's order, C4's edit included; the words
are segmented once a text, by whichever rule asks first, so `gopher_repetition` bears that cost. C4 changes the text,
so for fineweb the words are segmented again. Prints the median over rounds of the milliseconds a text.
"""

import gzip
import json
import statistics
import sys
import time
from pathlib import Path

from curation.rules.c4 import C4
from curation.rules.fineweb import FineWeb
from curation.rules.gopher_quality import GopherQuality
from curation.rules.gopher_repetition import GopherRepetition
from curation.rules.segmented import words_of
from schemas.records import Document


def judge(texts: list[str], language: str) -> dict[str, float]:
    """Seconds by rule over all texts."""
    repetition, quality = GopherRepetition(language=language), GopherQuality(language=language)
    c4, fineweb = C4(), FineWeb(language=language)
    seconds = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"), 0.0)
    for text in texts:
        doc = Document(text=text)
        start = time.perf_counter()
        for _ in repetition.measure(doc):
            pass
        seconds["gopher_repetition"] += (now := time.perf_counter()) - start
        for _ in quality.measure(doc):
            pass
        seconds["gopher_quality"] += (then := time.perf_counter()) - now
        after, _ = c4.rewrite(doc)
        seconds["c4"] += (now := time.perf_counter()) - then
        for _ in fineweb.measure(after):
            pass
        seconds["fineweb"] += time.perf_counter() - now
    return seconds


def main(path: str, field: str = "text", language: str = "", *, rounds: int = 5) -> None:
    """Reads `field` of every line of `path` and prints one JSON line."""
    raw = Path(path).read_bytes()
    lines = (gzip.decompress(raw) if path.endswith(".gz") else raw).splitlines()
    texts = [text for text in (json.loads(line).get(field) for line in lines) if text]
    judge(texts[:10], language)  # compiles and fills caches
    words_of.cache_clear()
    runs = [judge(texts, language) for _ in range(rounds)]
    by_rule = {name: round(1e3 * statistics.median(run[name] for run in runs) / len(texts), 4) for name in runs[0]}
    row = {
        "bench": "rules",
        "texts": len(texts),
        "mean_chars": round(sum(map(len, texts)) / len(texts)),
        "ms_per_text": round(1e3 * statistics.median(sum(run.values()) for run in runs) / len(texts), 4),
        "ms_by_rule": by_rule,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:4])
