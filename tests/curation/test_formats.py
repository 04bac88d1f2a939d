"""Formats by name, and by first bytes where the name does not tell."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.formats import format_of, named_format
from curation.readers import FormatError
from schemas.tasks import Compression, Format

GZIP, ZSTD, NONE = Compression.GZIP, Compression.ZSTD, Compression.NONE
NAMES = {
    "a.warc.gz": (Format.WARC, GZIP),
    "CC-MAIN-20240220211055-20240221001055-00000.warc.wet.gz": (Format.WARC, GZIP),
    "a.wat": (Format.WARC, NONE),
    "a.WARC.ZST": (Format.WARC, ZSTD),
    "http://h/a.arc.gz?key=1": (Format.ARC, GZIP),
    "s3://b/c.jsonl.zstd": (Format.JSONL, ZSTD),
    "a.ndjson": (Format.JSONL, NONE),
    "part-0.parquet": (Format.PARQUET, NONE),
    "part-0.parquet.gz": None,
    "a.json.gz": None,
    "a.gz": None,
    "folder.warc/a": None,
}
WARC = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
ARC = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 0\n\n"
BYTES = {
    "WARC": (WARC, (Format.WARC, NONE)),
    "WARC, gzip": (gzip.compress(WARC), (Format.WARC, GZIP)),
    "WARC, Zstandard": (zstandard.compress(WARC), (Format.WARC, ZSTD)),
    "ARC": (ARC, (Format.ARC, NONE)),
    "ARC, gzip": (gzip.compress(ARC), (Format.ARC, GZIP)),
    "JSON lines": (b'\n {"text": "a"}\n', (Format.JSONL, NONE)),
    "JSON lines, gzip": (gzip.compress(b'\xef\xbb\xbf{ "text": 1}'), (Format.JSONL, GZIP)),
    "JSON lines, Zstandard": (zstandard.compress(b"{}"), (Format.JSONL, ZSTD)),
    "a web page": (b"<!doctype html>", None),
    "a JSON list": (b"[1]", None),
    "a packed picture": (gzip.compress(b"GIF89a"), None),
    "a cut gzip file": (gzip.compress(WARC)[:9], None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", NAMES)
def test_by_name(name: str) -> None:
    assert named_format(name) == NAMES[name]


@pytest.mark.parametrize("case", BYTES)
def test_by_bytes(case: str, tmp_path: Path) -> None:
    data, expected = BYTES[case]
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    if expected is None:
        with pytest.raises(
            FormatError, match=r"a\.bin: of no format known here: .*\.warc, .*give WARC, WET, ARC, JSONL"
        ):
            format_of(str(path))
    else:
        assert format_of(str(path)) == expected


def test_parquet_by_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a")
    assert format_of(str(tmp_path / "a")) == (Format.PARQUET, NONE)
