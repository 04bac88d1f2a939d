"""Heads of WARC and ARC records, parsed by warcio: what a record says of itself."""

import re
from dataclasses import dataclass
from io import BytesIO

from warcio.recordloader import ARCHeadersParser
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser, StatusAndHeadersParserException

from schemas.tasks import Format

_WARC_PARSER = StatusAndHeadersParser(["WARC/1.1", "WARC/1.0", "WARC/0.18", "WARC/0.17"])
_ARC_PARSER = ARCHeadersParser()
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ARC_LINE = rb"[A-Za-z][A-Za-z0-9+.\-]{0,30}:[^\r\n]{0,8192} \d{14} \S{1,256} \d{1,18}"
_ARC_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")
_FILEDESC = b"filedesc:"
LINE_OVERLAP = 9216
"""Longest match of the patterns below."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a record says; `length` is None where it says nothing usable."""

    kind: str
    """WARC-Type in lower case; `response` or `filedesc` in an ARC."""
    length: int | None
    url: str
    id: str
    date: str
    content_type: str
    digest: str
    truncated: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a format's records begin, and where one is visibly followed by another."""

    format: Format
    opening: re.Pattern[bytes]
    """Matches at a record's first byte."""
    following: re.Pattern[bytes]
    """Matches at the line break before a record's first byte."""


WARC = Dialect(
    Format.WARC,
    re.compile(rb"WARC/\d\.\d+\r?\n"),
    re.compile(rb"\nWARC/\d\.\d{1,2}\r?\n(?=(?:WARC|Content)-[A-Za-z\-]{1,40}:)"),
)
ARC = Dialect(
    Format.ARC,
    re.compile(_ARC_LINE + rb"\r?\n"),
    re.compile(rb"\n(?=" + _ARC_LINE + rb"\r?\n)"),
)


def head_size(ahead: bytes, dialect: Dialect) -> int:
    """Bytes that the head takes at the start of `ahead`; 0 where its end is not in sight."""
    if dialect.format is Format.WARC:
        match = _HEAD_END.search(ahead)
        return match.end() if match else 0
    return ahead.find(b"\n") + 1


def parse_head(raw: bytes, dialect: Dialect) -> Head | None:
    """The head, or None where it isn't one."""
    try:
        if dialect.format is Format.WARC:
            return _warc_head(_WARC_PARSER.parse(BytesIO(raw)))
        return _arc_head(raw)
    except (StatusAndHeadersParserException, EOFError):
        return None


def _warc_head(fields: StatusAndHeaders) -> Head:
    named = {name.lower(): value.strip() for name, value in reversed(fields.headers)}  # of two, the first counts
    url = named.get("warc-target-uri", "")
    if url.startswith("<") and url.endswith(">"):  # as Wget 1.19 wrote it
        url = url[1:-1]
    return Head(
        kind=named.get("warc-type", "").lower(),
        length=_length(named.get("content-length", "")),
        url=url,
        id=named.get("warc-record-id", ""),
        date=named.get("warc-date", ""),
        content_type=named.get("content-type", ""),
        digest=named.get("warc-payload-digest", ""),
        truncated=named.get("warc-truncated", ""),
    )


def _arc_head(raw: bytes) -> Head | None:
    """An ARC's line; its version block counts as the block of the `filedesc` record, not of the head."""
    if raw.startswith(_FILEDESC):
        length = raw.split()[-1].decode("ascii", "replace")
        return Head("filedesc", _length(length), "", "", "", "", "", "")
    fields = _ARC_PARSER.parse(BytesIO(raw))
    stamp = _ARC_DATE.fullmatch(fields.get_header("archive-date"))
    return Head(
        kind="response",
        length=_length(fields.get_header("length")),
        url=fields.get_header("uri"),
        id="",
        date="{}-{}-{}T{}:{}:{}Z".format(*stamp.groups()) if stamp else "",
        content_type=fields.get_header("content-type"),
        digest="",
        truncated="",
    )


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
