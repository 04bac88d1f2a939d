"""A page's payload: the HTTP head parsed, its codings undone, its type declared or sniffed."""

import re
from dataclasses import dataclass
from io import BytesIO

from warcio.statusandheaders import StatusAndHeadersParser

from curation.codings import undo
from schemas.records import Body, Fault, Page

REASONS = ("bad_http_head", "http_status", "body_too_large", "undecodable_body", "content_type")
"""Every reason of a fault that `payload` can return."""

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPE = "text/plain"
BINARY_TYPE = "application/octet-stream"

_MAX_HEAD_BYTES = 262_144
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_PARSER = StatusAndHeadersParser(["HTTP/"], verify=False)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"',>]{1,40})", re.IGNORECASE)
_UNTOLD = ("", BINARY_TYPE, "unknown/unknown", "application/unknown", "*/*", "text/*", "application/x-unknown")

_BINARY_MAGIC = (
    b"%PDF-", b"%!PS", b"\x89PNG", b"GIF87a", b"GIF89a", b"\xff\xd8\xff", b"RIFF", b"PK\x03\x04", b"\x1f\x8b\x08",
    b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a", b"OggS", b"ID3", b"\x00\x00\x01\x00", b"wOFF", b"wOF2", b"\xd0\xcf\x11\xe0",
    b"{\\rtf", b"\x7fELF", b"BZh", b"\xfd7zXZ", b"\x1aE\xdf\xa3",
)  # fmt: skip
_SURELY_HTML = re.compile(rb"<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)
_LIKELY_HTML = re.compile(  # the tags of WHATWG's MIME sniffing standard, 7.1
    rb"<(?:!--|(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[\s>])",
    re.IGNORECASE,
)
_XHTML = re.compile(rb"<\?xml[\s\S]{0,1000}<html[\s>]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Payload:
    """A body as its author wrote it.

    `content_type` is lower case without parameters; `charset` what the head declared, empty where it did not;
    `status` is 0 where there is no HTTP head.
    """

    body: bytes
    content_type: str
    charset: str
    status: int


def payload(
    page: Page, max_bytes: int, *, statuses: range = range(200, 300), types: tuple[str, ...] = (*HTML_TYPES, TEXT_TYPE)
) -> Payload | Fault:
    """The payload of a page whose body is `Body.HTTP` or `Body.RESOURCE`.

    Args:
      page: as read.
      max_bytes: longest body, decoded; a longer one is not decoded to its end.
      statuses: HTTP statuses to accept.
      types: content types to accept, after sniffing.

    Returns:
      The payload or a fault: `bad_http_head`, `http_status` (value: the status), `body_too_large`, `undecodable_body`,
      `content_type`.
    """
    status, declared, body = 0, page.content_type, page.body
    if page.body_kind is not Body.RESOURCE:
        head = _parse_head(page.body)
        if isinstance(head, Fault):
            return head
        status, declared, codings, start = head
        declared = declared or page.content_type
        if status not in statuses:
            return Fault("http_status", status, statuses.start)
        decoded = undo(page.body[start:], codings, max_bytes)
        if isinstance(decoded, Fault):
            return decoded
        body = decoded
    if len(body) > max_bytes:
        return Fault("body_too_large", max_bytes + 1, max_bytes)
    content_type = media_type(declared, body)
    if content_type not in types:
        return Fault("content_type")
    charset = _CHARSET.search(declared)
    return Payload(body, content_type, charset[1].lower() if charset else "", status)


def media_type(declared: str, body: bytes) -> str:
    """The type to treat a body as: the declared one, unless its first bytes say otherwise.

    A known binary format is one whatever it is called; a missing or meaningless type is sniffed for HTML's tags; one
    that names something else gives way only to a doctype or `<html`. As browsers do, `text/plain` is left alone.
    """
    name = declared.partition(";")[0].strip().lower()
    if body.startswith(_BINARY_MAGIC):
        return name if name not in (*HTML_TYPES, TEXT_TYPE, *_UNTOLD) else BINARY_TYPE
    if name in (*HTML_TYPES, TEXT_TYPE):
        return name
    start = body[:2048].replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe")
    start = start.removeprefix(b"\xfe\xff").lstrip()
    if _XHTML.match(start):
        return HTML_TYPES[1]
    if (_LIKELY_HTML if name in _UNTOLD else _SURELY_HTML).match(start):
        return HTML_TYPES[0]
    return name


def _parse_head(block: bytes) -> tuple[int, str, tuple[str, ...], int] | Fault:
    """Status, declared type, codings in the order they were applied, and where the body starts."""
    end = _HEAD_END.search(block, 0, _MAX_HEAD_BYTES)
    if end is None or block[:5].upper() != b"HTTP/":
        return Fault("bad_http_head")
    head = _PARSER.parse(BytesIO(block[: end.end()]))
    status = head.statusline.partition(" ")[0]
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        return Fault("bad_http_head")
    fields = [(name.lower(), value) for name, value in head.headers]
    codings = tuple(
        coding for wanted in ("content-encoding", "transfer-encoding")
        for name, value in fields if name == wanted
        for coding in value.split(",")
    )  # fmt: skip
    declared = next((value for name, value in fields if name == "content-type"), "")
    return int(status), declared, codings, end.end()
