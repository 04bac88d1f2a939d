"""Times `text.english.words` against a blank English spaCy: `python -m text.english_bench TEXTS.jsonl[.gz] [FIELD]`.

One JSON text a line. Both take the same texts in turns, so that a busy machine slows both; ours begins each round with
nothing remembered. Prints the median ratio, and both medians in milliseconds a text. Needs spaCy.
"""

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import spacy

from text import english


def main(path: str, field: str = "text", *, rounds: int = 3) -> None:
    """Reads `field` of every line of `path` and prints one JSON line."""
    raw = Path(path).read_bytes()
    lines = (gzip.decompress(raw) if path.endswith(".gz") else raw).splitlines()
    texts = [text for text in (json.loads(line).get(field) for line in lines) if text]
    nlp = spacy.blank("en")
    nlp.max_length = max(map(len, texts)) + 1

    def theirs(text: str) -> list[str]:
        with nlp.memory_zone():  # as datatrove calls it
            return [word for token in nlp(text) if (word := token.text.strip())]

    pairs = []
    for _ in range(rounds):
        english.forget()
        pairs.append((_seconds(english.words, texts), _seconds(theirs, texts)))
    ours, spacys = (1e3 * statistics.median(column) / len(texts) for column in zip(*pairs, strict=True))
    row = {
        "bench": "english",
        "texts": len(texts),
        "equal": sum(english.words(text) == theirs(text) for text in texts),
        "ms_per_text": round(ours, 3),
        "spacy_ms_per_text": round(spacys, 3),
        "times_as_fast": round(statistics.median(b / a for a, b in pairs), 1),
    }
    print(json.dumps(row))


def _seconds(words: Callable[[str], list[str]], texts: list[str]) -> float:
    start = time.process_time()
    for text in texts:
        words(text)
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:3])
