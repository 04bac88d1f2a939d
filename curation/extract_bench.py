"""Milliseconds a page of the extract stage, by engine, and what each part takes.

Command: `python -m curation.extract_bench FILE.warc.gz …` from the repository root. Figures so far were
taken on the 834 pages of two real sets, 581 mostly German and English ones and 253 Korean ones. Prints one JSON line.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

import trafilatura
from warcio.archiveiterator import ArchiveIterator

from curation.extract import Extract
from curation.http import HTML_TYPES, Payload, payload
from schemas.records import Body, Document, Page
from text.encoding import decode


def pages(paths: list[str]) -> Iterator[Page]:
    """Response records as pages."""
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123
            for record in ArchiveIterator(file, no_record_parse=True):
                if record.rec_type != "response":
                    continue
                url = record.rec_headers.get_header("WARC-Target-URI")
                block = record.raw_stream.read()
                yield Page(id=url, url=url, path=path, offset=0, body_kind=Body.HTTP, body=block)


def main() -> None:
    """Runs the parts one after the other over all pages, so that each is timed alone."""
    found = list(pages(sys.argv[1:]))
    timings: dict[str, float] = {}
    start = time.process_time()
    payloads = [p for page in found if isinstance(p := payload(page, 10_000_000, types=HTML_TYPES), Payload)]
    timings["payload"] = time.process_time() - start
    start = time.process_time()
    sources = [s for p in payloads if (s := decode(p.body, p.charset)) is not None]
    timings["decode"] = time.process_time() - start
    start = time.process_time()
    for source in sources:
        trafilatura.load_html(source)
    timings["parse"] = time.process_time() - start
    outcomes: dict[str, Counter[str]] = {}
    for engine in ("trafilatura", "resiliparse"):
        stage = Extract(engine=engine)
        start = time.process_time()
        results = [stage.extract(page) for page in found]
        timings[f"all_by_{engine}"] = time.process_time() - start
        outcomes[engine] = Counter("document" if isinstance(r, Document) else r.reason for r in results)
    ms = {name: round(1000 * seconds / len(found), 3) for name, seconds in timings.items()}
    print(json.dumps({"pages": len(found), "ms_a_page": ms, "outcomes": outcomes}))


if __name__ == "__main__":
    main()
