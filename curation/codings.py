"""Undoes content and transfer codings of an HTTP body (RFC 9110, 8.4 and 9112, 7) in bounded memory.

Crawls lie about codings: Common Crawl and others store decoded bodies below heads that still say gzip or chunked. So a
body that does not begin as its label says, and looks like text, is taken as it stands. A body that ends too early
(crawlers cut at a size) gives what it holds; one that breaks in the middle is `undecodable_body`.
"""

import re
import zlib
from collections.abc import Callable

import brotli
import zstandard

from schemas.records import Fault

MAX_CODINGS = 8
"""A head that stacks more is an attack."""

_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ZSTD_WINDOW = 1 << 23
"""Bytes; what RFC 9659 allows over HTTP."""
_MAX_MEMBERS = 512
"""Each costs a copy of what follows it."""


class _WrongLabelError(ValueError):
    """The body does not begin as its coding does."""


class _BrokenError(ValueError):
    """The body begins as its coding does and then breaks."""


def undo(body: bytes, codings: tuple[str, ...], max_bytes: int) -> bytes | Fault:
    """Decodes a body.

    Args:
      body: as it went over the wire.
      codings: names in the order in which they were applied, so the last is undone first.
      max_bytes: longest result of any step.

    Returns:
      The decoded body, or a fault: `body_too_large` (value: more than max_bytes) or `undecodable_body`.
    """
    names = [name for name in (c.strip().lower() for c in codings) if name not in ("", "identity", "none")]
    if len(names) > MAX_CODINGS:
        return Fault("undecodable_body", len(names), MAX_CODINGS)
    for name in reversed(names):
        try:
            body = _DECODERS.get(name, _unknown)(body, max_bytes) if body else body
        except _WrongLabelError:
            if not looks_like_text(body):
                return Fault("undecodable_body")
        except _BrokenError:
            return Fault("undecodable_body")
        if len(body) > max_bytes:
            return Fault("body_too_large", max_bytes + 1, max_bytes)
    return body


def looks_like_text(body: bytes) -> bool:
    """Whether the first bytes hold no NUL, unless they are marked as UTF-16."""
    return body[:2] in _UTF16_MARKS or b"\0" not in body[:1024]


def _unknown(_body: bytes, _max_bytes: int) -> bytes:
    raise _WrongLabelError


def _gzip(body: bytes, max_bytes: int) -> bytes:
    """All members, trailing bytes ignored."""
    out = bytearray()
    rest = body
    if rest[:2] != b"\x1f\x8b":
        raise _WrongLabelError
    for _ in range(_MAX_MEMBERS):
        more, rest = _zlib(rest, 31, max_bytes + 1 - len(out))
        out += more
        if rest[:2] != b"\x1f\x8b" or len(out) > max_bytes:
            return bytes(out)
    raise _BrokenError


def _deflate(body: bytes, max_bytes: int) -> bytes:
    """Zlib as the standard says, or the raw stream that some servers send."""
    try:
        return _zlib(body, 15, max_bytes + 1)[0]
    except _BrokenError:
        try:
            return _zlib(body, -15, max_bytes + 1)[0]
        except _BrokenError as error:
            raise _WrongLabelError from error


def _zlib(body: bytes, wbits: int, room: int) -> tuple[bytes, bytes]:
    """One stream, at most `room` bytes of it, and what follows it (nothing where it was cut)."""
    decoder = zlib.decompressobj(wbits)
    try:
        out = decoder.decompress(body, room)
    except zlib.error as error:
        raise _BrokenError from error
    return out, decoder.unused_data


def _brotli(body: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    out = bytearray()
    piece = body
    try:
        while len(out) <= max_bytes and not decoder.is_finished():
            got = decoder.process(piece, output_buffer_limit=65_536)
            piece = b""
            if not got and decoder.can_accept_more_data():
                break  # cut short
            out += got
    except brotli.error as error:
        raise (_BrokenError if out else _WrongLabelError) from error  # it has no magic bytes
    return bytes(out)


def _zstd(body: bytes, max_bytes: int) -> bytes:
    if body[:4] != b"\x28\xb5\x2f\xfd":
        raise _WrongLabelError
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(body, read_across_frames=True)
    out = bytearray()
    try:
        while len(out) <= max_bytes and (got := reader.read(65_536)):
            out += got
    except zstandard.ZstdError as error:
        raise _BrokenError from error
    return bytes(out)


def _chunked(body: bytes, _max_bytes: int) -> bytes:
    """The chunks' data; trailers are ignored, and so is a missing last chunk."""
    out = bytearray()
    at = 0
    while at < len(body):
        head = _CHUNK_HEAD.match(body, at)
        if head is None:
            raise _BrokenError if out else _WrongLabelError
        size = int(head[1], 16)
        if size == 0:
            break
        end = head.end() + size
        after = body[end : end + 2]
        if after and after[:1] not in b"\r\n":  # at the start: a text that happens to begin with a number
            raise _BrokenError if out else _WrongLabelError
        out += body[head.end() : end]
        at = end + (2 if after == b"\r\n" else 1)
    return bytes(out)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "br": _brotli,
    "chunked": _chunked,
    "deflate": _deflate,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
}
