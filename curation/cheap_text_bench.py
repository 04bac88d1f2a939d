"""What a gate of the language stage costs and spares: milliseconds a page, and how many pages pass.

Command: `python -m curation.cheap_text_bench LANGUAGE FILE.warc.gz …` from the repository root, with one of lid.176's
codes. Figures so far were taken on the 834 pages of two real sets, 581 mostly German and English ones and 253 Korean
ones. Prints one JSON line; all times are of the CPU.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from classifiers.language import Language
from curation.extract import Extract
from curation.extract_bench import pages
from curation.from_page import as_document
from curation.judge import glances
from curation.steps import Step, gates
from schemas.records import Document, Fault, Page
from schemas.stage import Opened
from storage.registry import Registry

T = TypeVar("T")
THRESHOLD = 0.1


def main() -> None:
    """Takes every page through the gate and, whatever it says, through the rest."""
    stage = Language(languages=(sys.argv[1],), gate=THRESHOLD).setup({"lid176": Registry().resolve("lid176")})
    gate, extract = gates((Step("language", stage),)), Extract()
    seconds = dict.fromkeys(("opening", "glance", "main_text", "main_text_of_passed"), 0.0)

    def timed(part: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        done = work()
        seconds[part] += time.process_time() - start
        return done

    def glance(opened: Opened | Fault, page: Page) -> bool:
        return any(m.failed for _, _, m in glances(opened, as_document(page), gate))

    total = passed = wanted = lost = 0
    for page in pages(sys.argv[2:]):
        total += 1
        opened = timed("opening", lambda page=page: extract.open(page))  # type: ignore[misc]
        if isinstance(opened, Fault):
            continue
        failed = timed("glance", lambda opened=opened, page=page: glance(opened, page))  # type: ignore[misc]
        before = seconds["main_text"]
        made = timed("main_text", opened.document)
        if not failed:
            passed += 1
            seconds["main_text_of_passed"] += seconds["main_text"] - before
        if isinstance(made, Document) and stage(stage.annotate(made)) is None:
            wanted += 1
            lost += failed
    row = {
        "pages": total,
        "threshold": THRESHOLD,
        "passed": passed,
        "in_the_language": wanted,
        "lost_of_these": lost,
        "ms_a_page": {part: round(1000 * s / total, 3) for part, s in seconds.items()},
        "ms_ungated": round(1000 * (seconds["opening"] + seconds["main_text"]) / total, 3),
        "ms_gated": round(1000 * (seconds["opening"] + seconds["glance"] + seconds["main_text_of_passed"]) / total, 3),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
