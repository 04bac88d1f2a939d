"""The HTTP block of a response: head and body, with the content and transfer codings that the server chose."""

import gzip
import zlib
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import cast

import brotli
import zstandard

from service.sample.draft import Draft

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
    "deflate": lambda body: zlib.compress(body, 6),
    "br": lambda body: cast(bytes, brotli.compress(body, quality=4)),
    "zstd": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
}
"""Content codings by their HTTP names."""
CHUNK = 4_096


def chunked(body: bytes) -> bytes:
    """The body in chunks, as `Transfer-Encoding: chunked` sends it."""
    parts = [body[n : n + CHUNK] for n in range(0, len(body), CHUNK)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def http_block(draft: Draft, date: str) -> tuple[bytes, bytes]:
    """Head and body as stored, and the body alone (what the payload digest is of).

    Like Common Crawl, a body stored plainly keeps what the server had said of it under `X-Crawl-…` names.

    Args:
        draft: the page; `coding` names content coding and `chunked`, separated by `, `.
        date: the record's date, ISO with a Z.
    """
    codings = [coding for coding in draft.coding.split(", ") if coding]
    body = draft.payload
    fields = [("Date", format_datetime(datetime.fromisoformat(date), usegmt=True)), ("Server", draft.server),
              ("Content-Type", draft.content_type), *draft.headers]  # fmt: skip
    for coding in codings:
        if coding in CODINGS:
            body = CODINGS[coding](body)
            fields.append(("Content-Encoding", coding))
    if "chunked" in codings:
        body = chunked(body)
        fields.append(("Transfer-Encoding", "chunked"))
    else:
        fields.append(("Content-Length", str(len(body))))
    if not codings and draft.content_type.startswith("text/html"):
        fields.append(("X-Crawl-Content-Encoding", "gzip"))
    head = f"HTTP/1.1 {draft.status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    return head.encode("utf-8") + body, body
