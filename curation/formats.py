"""Which format a file is of: by its name where that tells, else by its first bytes."""

import re

from curation.readers.base import FormatError
from curation.readers.heads import ARC, LINE_OVERLAP
from curation.readers.limits import Limits
from curation.readers.members import GZIP_MAGIC, ZSTD_MAGIC, PlainMember
from curation.readers.streams import Stream
from curation.readers.warc import open_members
from curation.readers.window import Window
from schemas.tasks import Compression, Format
from storage.paths import open_read

SUFFIXES: dict[str, Format] = {
    ".warc": Format.WARC,
    ".wet": Format.WARC,
    ".wat": Format.WARC,
    ".arc": Format.ARC,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}
PACKED: dict[str, Compression] = {".gz": Compression.GZIP, ".zst": Compression.ZSTD, ".zstd": Compression.ZSTD}

_PARQUET_MAGIC = b"PAR1"
_WARC_START = re.compile(rb"\s{0,8}WARC/\d")
_JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1024}\{\s{0,1024}(?:\"|\})")


def format_of(path: str) -> tuple[Format, Compression]:
    """Format and compression of a file.

    Raises:
      FormatError: neither its name nor its first bytes tell.
      StorageError: it can't be opened.
    """
    return named_format(path) or _sniffed(path)


def named_format(path: str) -> tuple[Format, Compression] | None:
    """What a file's name says, None where it says nothing."""
    name = path.rpartition("/")[2].partition("?")[0].lower()
    packed = next((suffix for suffix in PACKED if name.endswith(suffix)), "")
    bare = name.removesuffix(packed)
    form = next((form for suffix, form in SUFFIXES.items() if bare.endswith(suffix)), None)
    if form is None or (form is Format.PARQUET and packed):
        return None
    return form, PACKED.get(packed, Compression.NONE)


def _sniffed(path: str) -> tuple[Format, Compression]:
    with open_read(path) as handle:
        window = Window(handle)
        start = bytes(window.view(0, 4))
        if start == _PARQUET_MAGIC:
            return Format.PARQUET, Compression.NONE
        compression = _compression(start)
        if compression is Compression.NONE:
            stream = Stream(lambda at: PlainMember(window, at), 0, None)
        else:
            opener, begin = open_members(window, compression)
            stream = Stream(opener, begin, Limits())
        ahead = stream.peek(LINE_OVERLAP)
    if _WARC_START.match(ahead):
        return Format.WARC, compression
    if ARC.opening.match(ahead):
        return Format.ARC, compression
    if _JSON_START.match(ahead):
        return Format.JSONL, compression
    raise FormatError(
        f"{path}: of no format known here: its name has none of the suffixes {', '.join(SUFFIXES)} "
        f"(packed: {', '.join(PACKED)}), and it begins with {ahead[:16]!r}; give WARC, WET, ARC, JSONL or Parquet files"
    )


def _compression(start: bytes) -> Compression:
    if start.startswith(GZIP_MAGIC):
        return Compression.GZIP
    skippable = start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5
    return Compression.ZSTD if start.startswith(ZSTD_MAGIC) or skippable else Compression.NONE
