"""What a run reads: files, and the tasks they are cut into."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

COMMON_CRAWL = "https://data.commoncrawl.org/"
"""Below which Common Crawl's lists and index files name their files."""


class Format(StrEnum):
    """How a file holds its pages."""

    WARC = "warc"
    """WARC, WET included (conversion records)."""
    ARC = "arc"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Compression(StrEnum):
    """How its bytes are packed. Parquet packs itself."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Source:
    """One input file.

    `path` opens it (a local path or a URL for fsspec); `name` is what ids, ledger and shards call it: its path below
    the common folder of all inputs (with a list of paths, the line of the list), with `/` between parts.
    """

    path: str
    name: str
    size: int
    """Bytes; 0 where the store does not say."""
    etag: str
    """The store's tag or modification time: another value makes other task ids."""
    format: Format
    compression: Compression
    dump: str


@dataclass(frozen=True, slots=True)
class Task:
    """A contiguous range of one file, or a list of records in it.

    A record belongs to the range [start, end) in which its gzip member (line, row) starts. For Parquet the range
    counts rows. `end` may lie beyond the file. With `records`, only those (offset, length) are read.
    """

    id: str
    """Hash of name, size, etag, range, records, and of the phase: names its files and marker."""
    index: int
    """Position in (name, start) order."""
    source: Source
    start: int
    end: int
    exact: bool = False
    """`start` is known to be a record's beginning (the first task of a file, or one run again to close the chain)."""
    records: tuple[tuple[int, int], ...] = ()
    pages: int = 0
    """Read only so many pages; 0 for all."""

    def to_json(self) -> dict[str, Any]:
        """For a job's payload."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Task":
        """The inverse of `to_json`, after a journey through JSON."""
        source = raw["source"]
        typed = {"format": Format(source["format"]), "compression": Compression(source["compression"])}
        records = tuple((offset, length) for offset, length in raw["records"])
        return cls(**{**raw, "source": Source(**{**source, **typed}), "records": records})
