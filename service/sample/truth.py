"""What was planted: one row a page of the sample, and the counts of everything else in its files."""

import dataclasses
import json
from pathlib import Path
from typing import Any

KINDS = (
    "article", "near_duplicate", "exact_copy", "url_variant", "thread", "mixed_languages", "adult", "archive", "stub",
    "spam_keywords", "spam_phrases", "lorem_ipsum", "code", "script_warning", "policy", "listing", "broken_html",
    "empty", "huge", "nested_warc", "pdf", "image", "json", "feed", "style", "redirect", "not_found", "truncated",
    "damaged",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlantedPage:
    """One response record of the sample and what a pipeline ought to find in it."""

    id: str
    """WARC-Record-ID, angle brackets included."""
    url: str
    path: str
    """Its file, relative to the sample's folder, with `/` between parts."""
    offset: int
    """Byte at which its gzip member starts."""
    kind: str
    """What sort of page it is: one of `KINDS`."""
    language: str = ""
    """Language and script of its prose such as `kor_Hang`; empty where there is no prose to speak of."""
    encoding: str = "utf-8"
    """Character encoding of the stored bytes."""
    declared: str = ""
    """The charset that the page claims, in its HTTP head or a meta tag; empty where it claims none."""
    coding: str = ""
    """Content and transfer codings of the stored HTTP block (`gzip`, `br`, `chunked`, `gzip, chunked`, …)."""
    defects: tuple[str, ...] = ()
    """What was planted, in words of this package (`mislabelled_encoding`, `broken_crc`, `bullet_list`, …)."""
    stages: tuple[str, ...] = ()
    """The stages of which one must drop it where it stands in the pipeline; empty where nothing is promised."""
    family: str = ""
    """Pages that share a family are copies of each other, more or less edited; empty where none was planted (stubs,
    error pages and spam resemble each other all the same, as they do everywhere)."""
    edit_rate: float = 0.0
    """Share of words that were changed against the family's first page."""
    similarity: float = 1.0
    """Jaccard similarity of 5-word shingles to the family's first page, prose only (as `prose.shingles` cuts them)."""
    pii: tuple[str, ...] = ()
    """Strings that must not be left in a published text."""
    safe: tuple[str, ...] = ()
    """Strings that look like personal data and must stay (private IP addresses)."""
    phrase: str = ""
    """A sentence of the main text, which a sound extraction holds; empty where there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """The whole sample."""

    pages: tuple[PlantedPage, ...]
    """In (path, offset) order."""
    records: dict[str, int]
    """WARC records by type, all files together, the damaged and the cut ones counted too."""
    files: tuple[str, ...]
    """WARC files relative to the sample's folder, in order; `paths` lists the same."""
    paths: str
    """The gzipped list of files, relative to the sample's folder."""
    dump: str

    def write(self, path: Path) -> None:
        """Writes JSON lines: first the sample as a whole, then one line a page."""
        head = {"dump": self.dump, "files": self.files, "paths": self.paths, "records": self.records}
        lines = [head, *(dataclasses.asdict(page) for page in self.pages)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")


def read_truth(path: Path) -> Truth:
    """Reads what `Truth.write` wrote."""
    with path.open(encoding="utf-8") as lines:
        head = json.loads(next(lines))
        pages = tuple(_page(json.loads(line)) for line in lines)
    return Truth(
        pages=pages, records=head["records"], files=tuple(head["files"]), paths=head["paths"], dump=head["dump"]
    )


def _page(row: dict[str, Any]) -> PlantedPage:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return PlantedPage(**fields)
