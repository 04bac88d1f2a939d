"""Pages that are hard to read at all: broken markup, empty bodies, files that are no HTML, answers other than 200."""

import dataclasses
import json
import random
import struct
import zlib
from html import escape

from service.sample import hosts
from service.sample.draft import NO_HTML, SHORT_TEXT, Draft, Planted, Studio
from service.sample.layout import paragraphs
from service.sample.prose import Text
from service.sample.warc import Writer

DEEP = 6_000
"""Nested tags of the deepest page."""
HUGE = 3_000_000
"""Bytes of the largest page, about."""


def broken_html(studio: Studio, count: int) -> list[Draft]:
    """Articles whose markup is damaged in one of four ways."""
    drafts = []
    for number in range(count):
        defect = ("unclosed_tags", "nested_tables", "null_bytes", "unclosed_tags", "deep_nesting")[number % 5]
        host, text = studio.article("en" if number % 4 else "ko")
        draft = studio.page(host, text, Planted(kind="broken_html", defects=(defect,)), _damaged(defect, text))
        if defect == "null_bytes":
            draft = dataclasses.replace(draft, payload=draft.payload.replace(b"<p>", b"<p>\0", 3))
        drafts.append(draft)
    return drafts


def _damaged(defect: str, text: Text) -> str:
    main = paragraphs(text.sections)
    if defect == "unclosed_tags":
        return main.replace("</p>", "").replace("<p>", "<p><b><i><div>", 4) + "<!-- unfinished <a href='x"
    if defect == "nested_tables":
        return "<table><tr><td>" * 24 + main + "</td></table>" * 9
    if defect == "deep_nesting":
        return "<div><span>" * (DEEP // 2) + main
    return main


def empty(_: Studio, count: int) -> list[Draft]:
    """No body, white space, or a page without a text."""
    bodies = (b"", b" \r\n\r\n", b"<!DOCTYPE html><html><head><title></title></head><body></body></html>")
    return [
        Draft(kind="empty", url=f"https://{hosts.FILES.name}/blank/{number}", payload=bodies[number % 3],
              content_type="text/html; charset=utf-8", stages=SHORT_TEXT, declared="utf-8")
        for number in range(count)
    ]  # fmt: skip


def huge(studio: Studio, count: int) -> list[Draft]:
    """One page of some megabytes: a whole archive on a single page, comments and all."""
    drafts = []
    for _ in range(count):
        lines: list[str] = []
        size = 0
        while size < HUGE:
            line = studio.prose.paragraph().text
            lines.append(f"<p>No. {len(lines) + 1}. {escape(line, quote=False)}</p>")
            size += len(lines[-1])
        text = Text("en", "Everything that was ever said at the mill", ())
        drafts.append(studio.page(hosts.FORUM, text, Planted(kind="huge"), "\n".join(lines)))
    return drafts


def images(studio: Studio, count: int) -> list[Draft]:
    """PNG images of noise: most of the sample's bytes, as on any site."""
    drafts = []
    for number in range(count):
        payload = _png(studio.rng, 200 + 40 * (number % 5), 260)
        drafts.append(_file("image", f"img/{number:04d}.png", "image/png", payload))
    return drafts


def _png(rng: random.Random, width: int, height: int) -> bytes:
    rows = b"".join(b"\0" + rng.randbytes(width) for _ in range(height))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows, 1)),
              (b"IEND", b""))  # fmt: skip
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def documents(studio: Studio, count: int) -> list[Draft]:
    """PDF files of one page with a picture."""
    drafts = []
    for number in range(count):
        line = studio.prose.sentence("en").encode("ascii", "replace").replace(b"(", b"").replace(b")", b"")
        text = b"BT /F1 11 Tf 40 780 Td (" + line + b") Tj ET"
        picture = studio.rng.randbytes(40_000)
        objects = (
            b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
            b"<< /Length %d /Type /XObject >>\nstream\n%s\nendstream" % (len(picture), picture),
        )  # fmt: skip
        body = b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (n + 1, o) for n, o in enumerate(objects))
        payload = body + b"trailer << /Root 1 0 R /Size 6 >>\n%%EOF\n"
        drafts.append(_file("pdf", f"papers/{number:03d}.pdf", "application/pdf", payload))
    return drafts


def data(studio: Studio, count: int) -> list[Draft]:
    """What interfaces and feeds answer: JSON, XML, style sheets."""
    drafts = []
    for number in range(count):
        lines = [studio.prose.sentence("en") for _ in range(6)]
        style = "body { margin: 0 }\n" * 20
        feed = "".join(f"<item><title>{line}</title></item>" for line in lines)
        kind, name, mime, body = (
            ("json", "json", "application/json", json.dumps({"page": number, "items": lines})),
            ("feed", "xml", "application/rss+xml", f"<?xml version='1.0'?><rss><channel>{feed}</channel></rss>"),
            ("json", "json", "application/json; charset=utf-8", json.dumps([{"id": number, "text": t} for t in lines])),
            ("style", "css", "text/css", style),
        )[number % 4]
        drafts.append(_file(kind, f"api/{number}.{name}", mime, body.encode()))
    return drafts


def _file(kind: str, path: str, content_type: str, payload: bytes) -> Draft:
    return Draft(kind=kind, url=f"https://{hosts.FILES.name}/{path}", payload=payload, content_type=content_type,
                 server=hosts.FILES.server, stages=NO_HTML, encoding="")  # fmt: skip


def nested(studio: Studio, count: int) -> list[Draft]:
    """A .warc.gz offered for download: whole gzip members, one beginning with `WARC/`, stand verbatim in its body."""
    drafts = []
    for number in range(count):
        inner = Writer(seed=900 + number, software="A crawl within the crawl")
        inner.warcinfo(f"nested-{number}.warc.gz")
        for page in range(40):
            body = b"<html><body><p>" + studio.prose.paragraph().text.encode() + b"</p></body></html>"
            body += b"<!-- " + studio.rng.randbytes(6_000).hex().encode() + b" -->"
            url = f"http://inner.example/{page}"
            inner.response(Draft(kind="inner", url=url, payload=body, content_type="text/html"))
        draft = _file("nested_warc", f"warc/nested-{number}.warc.gz", "application/gzip", bytes(inner.data))
        drafts.append(draft)
    return drafts


def redirects(_: Studio, count: int) -> list[Draft]:
    """Moved pages, with the few words that servers send along."""
    body = b"<html><head><title>301 Moved</title></head><body><center><h1>301 Moved</h1></center></body></html>"
    return [
        Draft(kind="redirect", url=f"http://{hosts.REDIRECTS.name}/r/{n}", payload=body, content_type="text/html",
              status="301 Moved Permanently", stages=(*NO_HTML, *SHORT_TEXT[1:]), server=hosts.REDIRECTS.server,
              headers=(("Location", f"https://{hosts.GAZETTE.name}/story/{10_000 + n}/"),))
        for n in range(count)
    ]  # fmt: skip


def not_found(studio: Studio, count: int) -> list[Draft]:
    """Pages that are not there, in the site's own dress."""
    drafts = []
    for number in range(count):
        host = studio.rng.choice(hosts.ARTICLES["en"])
        text = Text("en", "Page not found", (("", ("The page that you asked for does not exist or has moved.",)),))
        url = f"{host.scheme}://{host.name}/gone/{number}"
        planted = Planted(kind="not_found", stages=(*NO_HTML, *SHORT_TEXT[1:]), url=url)
        draft = studio.page(host, text, planted)
        drafts.append(dataclasses.replace(draft, status="404 Not Found", phrase=""))
    return drafts
