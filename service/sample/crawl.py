"""Writes the sample: files and folders in Common Crawl's shape, and beside them what was planted."""

import dataclasses
import random
from collections import Counter
from pathlib import Path

from service.sample.draft import NO_HTML, Draft, Studio
from service.sample.mix import drafts
from service.sample.prose import Prose, library_paragraphs
from service.sample.truth import PlantedPage, Truth
from service.sample.warc import Writer, gzip_member

DUMP = "CC-MAIN-2026-47"
FILES = 4
REVISITS = 25
RESERVED = 6
"""Every sixth paragraph of the library is kept back for `write_quality_sets`."""

_SEGMENTS = ("1794012345678.10", "1794012345678.37")
_PLANTED = tuple(field.name for field in dataclasses.fields(PlantedPage) if field.name not in ("id", "path", "offset"))


def write_sample(folder: Path, *, pages: int = 2000, seed: int = 0) -> Truth:
    """Makes the embedded crawl below `folder`.

    Writes `crawl-data/CC-MAIN-2026-47/segments/*/warc/*.warc.gz`, `crawl-data/CC-MAIN-2026-47/warc.paths.gz` and
    `truth.jsonl`. The same arguments give the same records under the same version of Python, whose documentation is
    the English prose; no clock and no network is asked.

    Args:
        folder: where to write; made if it is not there. Files of an earlier sample are replaced.
        pages: response records in all.
        seed: of everything that is drawn.

    Returns:
        What was planted where.

    Raises:
        ValueError: too few pages to show every kind.
        FileNotFoundError: this Python has no sources of its standard library.
    """
    library = library_paragraphs()
    studio = Studio(seed, Prose(seed, tuple(p for n, p in enumerate(library) if n % RESERVED)))
    made = drafts(studio, pages)
    order = random.Random(f"order {seed}")
    order.shuffle(made)
    names = tuple(_file_name(number) for number in range(FILES))
    rows: list[PlantedPage] = []
    records: Counter[str] = Counter()
    for number, name in enumerate(names):
        share = made[number * pages // FILES : (number + 1) * pages // FILES]
        writer, written = _fill(share, seed * FILES + number, name, order)
        if number == FILES - 1:
            written[-1] = _cut(writer, written[-1])
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(writer.data)
        rows += written
        records += writer.records
    paths = f"crawl-data/{DUMP}/warc.paths.gz"
    (folder / paths).write_bytes(gzip_member("".join(f"{name}\n" for name in names).encode()))
    truth = Truth(pages=tuple(rows), records=dict(sorted(records.items())), files=names, paths=paths, dump=DUMP)
    truth.write(folder / "truth.jsonl")
    return truth


def _file_name(number: int) -> str:
    segment = _SEGMENTS[number * len(_SEGMENTS) // FILES]
    return f"crawl-data/{DUMP}/segments/{segment}/warc/CC-MAIN-20261107001122-20261107031122-{number:05d}.warc.gz"


def _fill(share: list[Draft], seed: int, name: str, order: random.Random) -> tuple[Writer, list[PlantedPage]]:
    """Writes one file; a nested archive comes to lie across its middle, where a planner of equal ranges cuts it."""
    plain = [draft for draft in share if draft.kind != "nested_warc"]
    nested = [draft for draft in share if draft.kind == "nested_warc"]
    again = {draft.url for draft in order.sample(plain, min(REVISITS // FILES + 1, len(plain) // 4))}
    writer, rows = _written(plain + nested, seed, name, again)
    if nested:
        reach = (len(writer.data) - sum(len(draft.payload) for draft in nested)) // 2
        before = sum(row.offset < reach for row in rows[: len(plain)])
        writer, rows = _written([*plain[:before], *nested, *plain[before:]], seed, name, again)
    return writer, rows


def _written(share: list[Draft], seed: int, name: str, again: set[str]) -> tuple[Writer, list[PlantedPage]]:
    writer = Writer(seed)
    writer.warcinfo(name.rsplit("/", 1)[1])
    rows = []
    for draft in share:
        rows.append(_write(writer, draft, name))
        if draft.url in again:
            writer.revisit(draft, rows[-1].id)
    return writer, rows


def _write(writer: Writer, draft: Draft, name: str) -> PlantedPage:
    record, offset = writer.response(draft)
    planted = {field: getattr(draft, field) for field in _PLANTED}
    return PlantedPage(id=record, path=name, offset=offset, **planted)


def _cut(writer: Writer, last: PlantedPage) -> PlantedPage:
    """Ends the file in the middle of its last response, as a broken download does."""
    del writer.data[last.offset + (len(writer.data) - last.offset) // 2 :]
    return dataclasses.replace(last, defects=(*last.defects, "cut_record"), stages=NO_HTML, phrase="")
