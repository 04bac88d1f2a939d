"""Times the n-grams of gopher_repetition: `python -m text.ngrams_bench TEXTS.jsonl[.gz] [FIELD]`, one JSON text a line.

All nine figures of a text (top 2 to 4, duplicate 5 to 10), by the kernels and by dictionaries of strings, in turns.
Prints the median ratio, and the median milliseconds a text, word segmentation not included.
"""

import gzip
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from text.english import words as cut
from text.ngrams import Ngrams


def by_kernels(words: list[str]) -> list[int]:
    """Returns the nine figures."""
    ngrams = Ngrams(words)
    return [*map(ngrams.top_chars, range(2, 5)), *map(ngrams.duplicate_chars, range(5, 11))]


def by_strings(words: list[str]) -> list[int]:
    """Returns the nine figures from joined strings."""
    figures = []
    for n in range(2, 5):
        counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        figures.append(max((len(ngram) * count for ngram, count in counts.most_common(1)), default=0))
    for n in range(5, 11):
        seen, chars, at = set(), 0, 0
        while at < len(words) - n + 1:
            ngram = "".join(words[at : at + n])
            repeated = ngram in seen
            seen.add(ngram)
            chars += len(ngram) * repeated
            at += n if repeated else 1
        figures.append(chars)
    return figures


def main(path: str, field: str = "text", *, rounds: int = 3) -> None:
    """Reads `field` of every line of `path` and prints one JSON line."""
    raw = Path(path).read_bytes()
    lines = (gzip.decompress(raw) if path.endswith(".gz") else raw).splitlines()
    texts = [cut(text) for text in (json.loads(line).get(field) for line in lines) if text]
    equal = sum(by_kernels(words) == by_strings(words) for words in texts)
    pairs = [(_seconds(by_kernels, texts), _seconds(by_strings, texts)) for _ in range(rounds)]
    kernels, strings = (1e3 * statistics.median(column) / len(texts) for column in zip(*pairs, strict=True))
    row = {
        "bench": "ngrams",
        "texts": len(texts),
        "equal": equal,
        "ms_per_text": round(kernels, 3),
        "strings_ms_per_text": round(strings, 3),
        "times_as_fast": round(statistics.median(b / a for a, b in pairs), 1),
    }
    print(json.dumps(row))


def _seconds(figures: Callable[[list[str]], list[int]], texts: list[list[str]]) -> float:
    start = time.process_time()
    for words in texts:
        figures(words)
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:3])
