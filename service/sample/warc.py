"""WARC files as Common Crawl writes them: one gzip member a record; request, response, metadata for each page.

Ids and dates come from a counter, so the records are the same everywhere. The compressed bytes are the same wherever
zlib is the same library (zlib and zlib-ng find different matches).
"""

import base64
import hashlib
import struct
import uuid
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service.sample.block import http_block
from service.sample.draft import Draft

NAMESPACE = uuid.UUID("6d1c2f0e-3a57-5b1d-9c58-9a4d5f0c7e21")
START = datetime(2026, 11, 7, 0, 11, 22, tzinfo=UTC)
_MEMBER_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def gzip_member(data: bytes, level: int = 6) -> bytes:
    """One gzip member without time, name or operating system; level 0 stores the bytes verbatim."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(data) + deflate.flush()
    return _MEMBER_HEAD + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def digest(data: bytes) -> str:
    """SHA-1 in base 32, as the format writes it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii")


def _break_crc(member: bytes) -> bytes:
    return member[:-8] + bytes(byte ^ 0xFF for byte in member[-8:-4]) + member[-4:]


def _break_deflate(member: bytes) -> bytes:
    middle = len(member) // 2
    return member[:middle] + b"\xff" * 48 + member[middle + 48 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "broken_crc": _break_crc,
    "broken_deflate": _break_deflate,
}
"""What is done to a member's bytes."""
FALSE_LENGTHS = {"length_too_long": 700, "length_too_short": -300}
"""What is added to a record's Content-Length."""


class Writer:
    """One WARC file in memory.

    Args:
        seed: with the counter, what ids are made from; another for each file.
        software: what the warcinfo record names as its maker.
    """

    def __init__(self, seed: int, software: str = "gristmill sample") -> None:
        self.data = bytearray()
        self.records: Counter[str] = Counter()
        self._seed = seed
        self._software = software
        self._info = ""

    def warcinfo(self, filename: str) -> None:
        """The record that begins a file."""
        fields = (f"isPartOf: CC-MAIN-2026-47\r\nsoftware: {self._software}\r\nformat: WARC File Format 1.1\r\n"
                  "description: invented pages in the shape of a web crawl\r\nrobots: checked\r\n")  # fmt: skip
        named = (("WARC-Filename", filename),)
        self._info = self._record("warcinfo", fields.encode(), named, "application/warc-fields")

    def response(self, draft: Draft) -> tuple[str, int]:
        """Writes a page's three records; returns the response's record id and offset."""
        host, path = _split(draft.url)
        ask = (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: CCBot/2.0 (https://commoncrawl.org/faq/)\r\n"
               "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
               "Accept-Encoding: br,gzip\r\n\r\n")  # fmt: skip
        target = ("WARC-Target-URI", draft.url)
        request = self._record("request", ask.encode(), (target,), "application/http; msgtype=request")
        block, payload = http_block(draft, self._date())
        offset = len(self.data)
        extra = (target, ("WARC-Concurrent-To", request), ("WARC-IP-Address", "192.0.2.80"),
                 ("WARC-Payload-Digest", digest(payload)),
                 ("WARC-Identified-Payload-Type", draft.content_type.split(";")[0]),
                 *((("WARC-Truncated", draft.truncated),) if draft.truncated else ()))  # fmt: skip
        level = 0 if draft.kind == "nested_warc" else 6
        record = self._record("response", block, extra, "application/http; msgtype=response", draft.damage, level)
        notes = f"fetchTimeMs: {100 + len(block) % 900}\r\ncharset-detected: {draft.encoding or 'unknown'}\r\n"
        self._record("metadata", notes.encode(), (target, ("WARC-Concurrent-To", record)), "application/warc-fields")
        return record, offset

    def revisit(self, draft: Draft, refers_to: str) -> None:
        """A page that was found unchanged: its HTTP head alone."""
        block, payload = http_block(draft, self._date())
        extra = (("WARC-Target-URI", draft.url), ("WARC-Refers-To", refers_to),
                 ("WARC-Refers-To-Target-URI", draft.url),
                 ("WARC-Profile", "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"),
                 ("WARC-Payload-Digest", digest(payload)), ("WARC-Truncated", "length"))  # fmt: skip
        head = block.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self._record("revisit", head, extra, "application/http; msgtype=response")

    def _date(self) -> str:
        return (START + timedelta(seconds=sum(self.records.values()))).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _record(self, kind: str, block: bytes, extra: tuple[tuple[str, str], ...], content_type: str,
                damage: str = "", level: int = 6) -> str:  # fmt: skip
        record_id = f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{self._seed}/{sum(self.records.values())}')}>"
        fields = [("WARC-Type", kind), ("WARC-Date", self._date()), ("WARC-Record-ID", record_id),
                  ("Content-Length", str(len(block) + FALSE_LENGTHS.get(damage, 0))),
                  ("Content-Type", content_type)]  # fmt: skip
        if self._info:
            fields.append(("WARC-Warcinfo-ID", self._info))
        fields += [*extra, ("WARC-Block-Digest", digest(block))]
        head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        member = gzip_member(head.encode("utf-8") + block + b"\r\n\r\n", level)
        self.data += DAMAGES[damage](member) if damage in DAMAGES else member
        self.records[kind] += 1
        return record_id


def _split(url: str) -> tuple[str, str]:
    host, slash, path = url.partition("://")[2].partition("/")
    return host, slash + path or "/"
