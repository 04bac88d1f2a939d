"""HTTP heads, codings and content types: as the standards say, and as crawls have them."""

import gzip
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.codings import MAX_CODINGS, undo
from curation.http import REASONS, Payload, media_type, payload
from schemas.records import Body, Fault, Page

HTML = b"<!DOCTYPE html><html><body><p>" + "Brot und Spiele, 빵과 서커스. ".encode() * 40 + b"</p></body></html>"
LIMIT = 1_000_000
TOO_LARGE = Fault("body_too_large", LIMIT + 1, LIMIT)
UNDECODABLE = Fault("undecodable_body")


def raw_deflate(data: bytes) -> bytes:
    c = zlib.compressobj(wbits=-15)
    return c.compress(data) + c.flush()


def chunked(data: bytes, size: int = 100, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in parts) + end


def http(body: bytes, head: str = "Content-Type: text/html; charset=utf-8", status: str = "HTTP/1.1 200 OK") -> Page:
    block = f"{status}\r\n{head}\r\n\r\n".encode("latin-1") + body
    return Page(id="1", url="https://a.example/", path="a.warc.gz", offset=0, body_kind=Body.HTTP, body=block)


def coded(encoding: str, body: bytes, transfer: str = "") -> Page:
    lines = ["Content-Type: text/html", f"Content-Encoding: {encoding}"]
    return http(body, "\r\n".join([*lines, *([f"Transfer-Encoding: {transfer}"] if transfer else [])]))


GZ = gzip.compress(HTML)
ZST = zstandard.compress(HTML)
SUMMED = zstandard.ZstdCompressor(write_checksum=True).compress(HTML)
MANY_FIELDS = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000 + b"\r\n"

BODIES = {
    "plain": (http(HTML), HTML),
    "gzip": (coded("gzip", GZ), HTML),
    "x_gzip_upper": (coded("X-GZIP", GZ), HTML),
    "gzip_members": (coded("gzip", gzip.compress(HTML[:50]) + gzip.compress(HTML[50:])), HTML),
    "gzip_and_junk": (coded("gzip", GZ + b"junk"), HTML),
    "deflate_zlib": (coded("deflate", zlib.compress(HTML)), HTML),
    "deflate_raw": (coded("deflate", raw_deflate(HTML)), HTML),
    "br": (coded("br", brotli.compress(HTML)), HTML),
    "zstd": (coded("zstd", ZST), HTML),
    "zstd_frames": (coded("zstd", zstandard.compress(HTML[:9]) + zstandard.compress(HTML[9:])), HTML),
    "chunked": (coded("identity", chunked(HTML), "chunked"), HTML),
    "chunked_lf": (coded("", chunked(HTML).replace(b"\r\n", b"\n"), "chunked"), HTML),
    "chunked_gzip": (coded("gzip", chunked(GZ), "chunked"), HTML),
    "stacked": (coded("gzip, br", brotli.compress(GZ)), HTML),
    "stacked_in_both": (
        coded("deflate, zstd", chunked(gzip.compress(zstandard.compress(zlib.compress(HTML)))), "gzip, chunked"),
        HTML,
    ),
    # labels that lie: the body was stored decoded
    "gzip_is_plain": (coded("gzip", HTML), HTML),
    "deflate_is_plain": (coded("deflate", HTML), HTML),
    "br_is_plain": (coded("br", HTML), HTML),
    "zstd_is_plain": (coded("zstd", HTML), HTML),
    "chunked_is_plain": (coded("", HTML, "chunked"), HTML),
    "chunked_is_plain_number": (coded("", b"100\nbottles" + HTML, "chunked"), b"100\nbottles" + HTML),
    "both_are_plain": (coded("gzip", HTML, "chunked"), HTML),
    "unknown_is_plain": (coded("utf-8", HTML), HTML),
    "empty": (coded("gzip", b"", "chunked"), b""),
    # cut short by the crawler
    "gzip_cut": (coded("gzip", GZ[:-20]), None),
    "br_cut": (coded("br", brotli.compress(HTML)[:-8]), None),
    "zstd_cut": (coded("zstd", ZST[:-8]), None),
    "chunked_cut": (coded("", chunked(HTML, end=b"")[:-30], "chunked"), None),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_bodies_are_decoded(case: str) -> None:
    page, body = BODIES[case]
    got = payload(page, LIMIT)
    assert isinstance(got, Payload)
    if body is None:
        assert HTML.startswith(got.body)
    else:
        assert got.body == body
    assert (got.content_type, got.status) == ("text/html", 200)


FAULTS = {
    "gzip_broken": (coded("gzip", GZ[:-8] + bytes(8)), UNDECODABLE),
    "zstd_broken": (coded("zstd", SUMMED[:-4] + bytes(4)), UNDECODABLE),
    "chunked_broken": (coded("", b"3\r\nabc\r\nnonsense", "chunked"), UNDECODABLE),
    "binary_under_a_label": (coded("br", b"\x00\xff" * 400), UNDECODABLE),
    "unknown_coding": (coded("compress", b"\x1f\x9d\x00\x00"), UNDECODABLE),
    "too_many_codings": (coded(",".join(["gzip"] * (MAX_CODINGS + 1)), GZ), Fault("undecodable_body", 9, 8)),
    "members_without_end": (coded("gzip", gzip.compress(b"") * 600), UNDECODABLE),
    "at_limit": (http(b"<" * LIMIT), None),
    "above_limit": (http(b"<" * (LIMIT + 1)), TOO_LARGE),
    "gzip_at_limit": (coded("gzip", gzip.compress(b"<" * LIMIT)), None),
    "gzip_above_limit": (coded("gzip", gzip.compress(b"<" * (LIMIT + 1))), TOO_LARGE),
    "members_above_limit": (coded("gzip", gzip.compress(b"<" * LIMIT) + gzip.compress(b"<")), TOO_LARGE),
    "deflate_above_limit": (coded("deflate", zlib.compress(b"<" * (LIMIT + 1))), TOO_LARGE),
    "br_above_limit": (coded("br", brotli.compress(b"<" * (LIMIT + 1))), TOO_LARGE),
    "zstd_above_limit": (coded("zstd", zstandard.compress(b"<" * (LIMIT + 1))), TOO_LARGE),
    "status_199": (http(HTML, status="HTTP/1.1 199 ?"), Fault("http_status", 199, 200)),
    "status_200": (http(HTML, status="HTTP/1.0 200"), None),
    "status_203": (http(HTML, status="HTTP/2 203 Other"), None),
    "status_300": (http(HTML, status="HTTP/1.1 300 Choices"), Fault("http_status", 300, 200)),
    "status_404": (http(HTML, status="HTTP/1.1 404 Not Found"), Fault("http_status", 404, 200)),
    "status_word": (http(HTML, status="HTTP/1.1 OK"), Fault("bad_http_head")),
    "status_digits": (http(HTML, status="HTTP/1.1 2\xb20"), Fault("bad_http_head")),
    "no_http": (http(HTML, status="ICY 200 OK"), Fault("bad_http_head")),
    "pdf": (http(b"%PDF-1.7 ...", "Content-Type: application/pdf"), Fault("content_type")),
    "pdf_called_html": (http(b"%PDF-1.7 ..."), Fault("content_type")),
    "png_called_text": (http(b"\x89PNG\r\n", "Content-Type: text/plain"), Fault("content_type")),
    "json": (http(b"{}", "Content-Type: application/json"), Fault("content_type")),
    "untold_prose": (http(b"just words", "Server: x"), Fault("content_type")),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults(case: str) -> None:
    page, fault = FAULTS[case]
    got = payload(page, LIMIT)
    assert got == fault if fault else isinstance(got, Payload)


@pytest.mark.parametrize("block", [b"", b"HTTP/1.1 200 OK\r\n", b"<html></html>\n\n", MANY_FIELDS])
def test_a_block_without_a_head(block: bytes) -> None:
    page = Page(id="1", url="u", path="p", offset=0, body_kind=Body.HTTP, body=block)
    assert payload(page, LIMIT) == Fault("bad_http_head")


def test_every_reason_is_tested() -> None:
    assert {fault.reason for _, fault in FAULTS.values() if fault} == set(REASONS)


TYPES = {
    "declared": ("text/html; charset=x", b"whatever", "text/html"),
    "declared_upper": ("Text/HTML", b"", "text/html"),
    "xhtml": ("application/xhtml+xml", b"<?xml?><html>", "application/xhtml+xml"),
    "plain_stays_plain": ("text/plain", b"<html>", "text/plain"),
    "missing_doctype": ("", b"\xef\xbb\xbf \n<!doctype HTML>", "text/html"),
    "missing_fragment": ("", b"<p>one", "text/html"),
    "missing_comment": ("unknown/unknown", b"<!-- x --><html>", "text/html"),
    "missing_utf16": ("", "\ufeff<html>".encode("utf-16-le"), "text/html"),
    "missing_xhtml": ("application/octet-stream", b'<?xml version="1.0"?>\n<html xmlns="x">', "application/xhtml+xml"),
    "missing_rss": ("", b'<?xml version="1.0"?><rss>', ""),
    "missing_other_tag": ("", b"<paragraph>", ""),
    "wrong_doctype": ("application/json", b"<!DOCTYPE html><html>", "text/html"),
    "wrong_but_only_a_tag": ("application/javascript", b"<!-- hides --> var a", "application/javascript"),
    "image": ("image/png", b"\x89PNG", "image/png"),
    "zip_called_html": ("text/html", b"PK\x03\x04", "application/octet-stream"),
}


@pytest.mark.parametrize("case", TYPES)
def test_media_type(case: str) -> None:
    declared, body, expected = TYPES[case]
    assert media_type(declared, body) == expected


CHARSETS = {
    "none": ("text/html", ""),
    "bare": ("text/html; charset=EUC-KR", "euc-kr"),
    "quoted": ('text/html;charset="Shift_JIS"; x=y', "shift_jis"),
    "spaces": ("text/html; CharSet = 'utf-8'", "utf-8"),
}


@pytest.mark.parametrize("case", CHARSETS)
def test_charset(case: str) -> None:
    declared, expected = CHARSETS[case]
    got = payload(http(HTML, f"Content-Type: {declared}"), LIMIT)
    assert isinstance(got, Payload)
    assert got.charset == expected
    resource = Page(id="1", url="u", path="p", offset=0, body_kind=Body.RESOURCE, body=HTML, content_type=declared)
    assert payload(resource, LIMIT) == Payload(HTML, "text/html", expected, 0)
    assert payload(resource, len(HTML) - 1) == Fault("body_too_large", len(HTML), len(HTML) - 1)


def test_types_and_statuses_can_be_chosen() -> None:
    assert payload(http(HTML), LIMIT, types=("text/plain",)) == Fault("content_type")
    got = payload(http(HTML, status="HTTP/1.1 404 Not Found"), LIMIT, statuses=range(200, 500))
    assert isinstance(got, Payload)
    assert got.status == 404


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_decoded_in_bounded_memory(coding: str) -> None:
    size = 200 * LIMIT
    bomb = {
        "gzip": lambda: gzip.compress(b"\0" * size),
        "deflate": lambda: zlib.compress(b"\0" * size),
        "br": lambda: brotli.compress(b"\0" * size, quality=1),
        "zstd": lambda: zstandard.compress(b"\0" * size),
    }[coding]()
    tracemalloc.start()
    try:
        assert undo(bomb, (coding,), LIMIT) == TOO_LARGE
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * LIMIT + len(bomb)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"5\r\n", b"\x78\x9c"]),
    st.lists(st.sampled_from(["gzip", "deflate", "br", "zstd", "chunked", "?"]), max_size=4),
)
def test_any_bytes_get_an_answer(body: bytes, magic: bytes, codings: list[str]) -> None:
    got = undo(magic + body, tuple(codings), 1000)
    assert isinstance(got, Fault | bytes)
    block = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + ",".join(codings).encode() + b"\r\n" + body + b"\r\n\r\n" + body
    page = Page(id="1", url="u", path="p", offset=0, body_kind=Body.HTTP, body=block)
    assert isinstance(payload(page, 1000), Fault | Payload)
