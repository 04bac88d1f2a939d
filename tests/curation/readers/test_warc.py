"""Reading archives: sound, damaged and hostile; whole and by ranges."""

import gzip
import io
import random
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from curation.readers import FormatError, Limits
from schemas.records import Body

NOISE = bytes(random.Random(1).choices(range(32, 127), k=4000))


def pack(raw: bytes, level: int = 6) -> bytes:
    return gzip.compress(raw, level, mtime=0)


def urls(pages: list[Any]) -> list[str]:
    return [page.url.rpartition("/")[2] for page in pages]


def test_pages_of_a_warc(archives: Any) -> None:
    info = archives.record(b"software: x", kind="warcinfo", media="application/warc-fields")
    request = archives.record(b"GET / HTTP/1.1\r\n\r\n", kind="request", number=1)
    members = [pack(r) for r in (info, request, archives.page(1), archives.record(b"m", kind="metadata", number=2))]
    path = archives.write(members)
    pages, reader = archives.read(path)
    (page,) = pages
    offset = len(members[0]) + len(members[1])
    assert (page.id, page.url) == (f"<urn:uuid:{1:032x}>", "http://example.org/1")
    assert (page.path, page.offset, page.date) == ("a.warc.gz", offset, "2024-03-01T00:00:00Z")
    assert (page.body_kind, page.content_type, page.fault) == (Body.HTTP, "text/html", None)
    assert page.body.startswith(b"HTTP/1.1 200 OK\r\n")
    assert dict(reader.skipped) == {"warcinfo": 1, "request": 1, "metadata": 1}
    assert (reader.first, reader.end, reader.pages) == (0, path.stat().st_size, 1)


RECORDS = {
    # case: (kind, media, block, body kind, content type)
    "response": ("response", "application/http; msgtype=response", b"HTTP/1.1 200 OK\r\n\r\nx", Body.HTTP, ""),
    "response without a type": ("response", "", b"HTTP/1.0 200\ncontent-TYPE : a/b; c\n\nx", Body.HTTP, "a/b; c"),
    "response of another protocol": ("response", "text/dns", b"20240301 example.org", Body.RESOURCE, "text/dns"),
    "resource": ("resource", "image/png", b"\x89PNG", Body.RESOURCE, "image/png"),
    "conversion": ("conversion", "text/plain", "ein Text, 글".encode(), Body.TEXT, "text/plain"),
    "conversion to something else": ("conversion", "text/html", b"<p>", Body.RESOURCE, "text/html"),
    "empty": ("response", "application/http", b"", Body.HTTP, ""),
}


@pytest.mark.parametrize("case", RECORDS)
def test_what_a_record_is(archives: Any, case: str) -> None:
    kind, media, block, body_kind, content_type = RECORDS[case]
    pages, _ = archives.read(archives.write(pack(archives.record(block, kind=kind, media=media))))
    assert [(p.body_kind, p.content_type, p.body, p.fault) for p in pages] == [(body_kind, content_type, block, None)]


@pytest.mark.parametrize("kind", ["warcinfo", "request", "metadata", "revisit", "continuation", "other"])
def test_records_that_are_no_pages(archives: Any, kind: str) -> None:
    named = "invented" if kind == "other" else kind
    pages, reader = archives.read(archives.write(pack(archives.record(b"x", kind=named))))
    assert (pages, dict(reader.skipped)) == ([], {kind: 1})


def test_fields_kept(archives: Any) -> None:
    raw = archives.record(b"x", extra=["WARC-Payload-Digest: sha1:ABC", "WARC-Truncated: length"])
    raw = raw.replace(b"WARC-Record-ID", b"X-No-ID").replace(b"http://example.org/0", b"<not a url>")
    ((page,), _) = archives.read(archives.write(pack(raw)))
    assert (page.digest, dict(page.metadata)) == ("sha1:ABC", {"warc_truncated": "length"})
    assert (page.id, page.url) == ("a.warc.gz@0", "not a url")


def _damaged_deflate(member: bytes) -> bytes:
    return member[:300] + bytes(b ^ 0x5A for b in member[300:400]) + member[400:]


FAULTS = {
    # case: (the middle one of three members, its reason, its URL known)
    "bad checksum": (lambda a: pack(a.page(7))[:-8] + b"\1\2\3\4" + pack(a.page(7))[-4:], "damaged_record", True),
    "bad length in the trailer": (lambda a: pack(a.page(7))[:-1] + b"\7", "damaged_record", True),
    "bad deflate": (lambda a: _damaged_deflate(pack(a.record(NOISE, number=7))), "damaged_record", True),
    "bad magic": (lambda a: b"\x1e" + pack(a.page(7))[1:], "unreadable_record", False),
    "garbage": (lambda a: b"garbage between members", "unreadable_record", False),
    "another format": (lambda a: pack(b"just text\n"), "unreadable_record", False),
    "no WARC-Type": (lambda a: pack(a.page(7).replace(b"WARC-Type", b"X-Type")), "unreadable_record", False),
    "length too long": (lambda a: pack(a.record(b"x" * 50, number=7, length=55)), "false_length", True),
    "length far too long": (lambda a: pack(a.record(b"x" * 50, number=7, length=10**15)), "false_length", True),
    "length too short": (lambda a: pack(a.record(b"x" * 50, number=7, length=20)), "false_length", True),
    "length negative": (lambda a: pack(a.record(b"x" * 50, number=7, length=-1)), "false_length", True),
    "length missing": (lambda a: pack(a.record(b"x" * 50, number=7, length="")), "false_length", True),
    "length no number": (lambda a: pack(a.record(b"x" * 50, number=7, length="1e3")), "false_length", True),
    "head without an end": (lambda a: pack(b"WARC/1.0\r\nA: " + b"x" * 5000), "unreadable_record", False),
    "text not UTF-8": (lambda a: pack(a.record(b"\xff", number=7, kind="conversion", media="")), "invalid_utf8", True),
    "over the size": (lambda a: pack(a.record(b"x" * 20_001, number=7)), "record_too_large", True),
    "a bomb": (lambda a: pack(a.record(b"\0" * 2_000_000, number=7)), "gzip_bomb", True),
    "a bomb, length 5": (lambda a: pack(a.record(b"\0" * 2_000_000, number=7, length=5)), "gzip_bomb", True),
    "a bomb of line breaks": (lambda a: pack(b"\n" * 2_000_000), "gzip_bomb", False),
}
SMALL = Limits(max_record_bytes=20_000, max_head_bytes=4096, max_member_bytes=1_000_000)


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_costs_one_row_and_no_neighbour(archives: Any, case: str) -> None:
    make, reason, known = FAULTS[case]
    before, after = pack(archives.page(1)), pack(archives.page(2))
    path = archives.write([before, make(archives), after])
    pages, reader = archives.read(path, limits=SMALL)
    assert archives.faults(pages) == ["", reason, ""]
    assert urls(pages) == ["1", "7" if known else "", "2"]
    bad = pages[1]
    assert (bad.offset, bad.body_kind, bad.body) == (len(before), Body.NONE, b"")
    assert bad.id == (f"<urn:uuid:{7:032x}>" if known else f"a.warc.gz@{len(before)}")
    assert reader.end == path.stat().st_size
    whole = [(p.offset, p.fault) for p in pages]
    for cut in range(1, path.stat().st_size, 97):
        parts, _ = archives.chain(path, [0, cut, path.stat().st_size], SMALL)
        assert [(p.offset, p.fault) for p in parts] == whole


def test_size_limit_at_its_edge(archives: Any) -> None:
    for size, reason in {19_999: "", 20_000: "", 20_001: "record_too_large"}.items():
        pages, _ = archives.read(archives.write(pack(archives.record(b"x" * size))), limits=SMALL)
        assert archives.faults(pages) == [reason], size


def test_faults_of_records_that_are_no_pages(archives: Any) -> None:
    path = archives.write([pack(archives.record(b"x", kind="request", length=99)), pack(archives.page(1))])
    pages, reader = archives.read(path)
    assert (urls(pages), dict(reader.skipped)) == (["1"], {"request": 1})


def test_truncated_file(archives: Any) -> None:
    members = [pack(archives.page(n)) for n in range(3)]
    for cut in range(1, len(members[2])):
        pages, reader = archives.read(archives.write(b"".join(members)[:-cut]))
        assert archives.faults(pages) == ["", "", "truncated_record"], cut
        assert pages[2].offset == len(members[0]) + len(members[1])
        assert reader.end == len(b"".join(members)) - cut
    pages, _ = archives.read(archives.write(b""))
    assert pages == []


def test_zero_padding_and_empty_members(archives: Any) -> None:
    path = archives.write([pack(archives.page(1)), b"\0" * 5000, pack(b""), pack(archives.page(2)), b"\0" * 3])
    pages, reader = archives.read(path)
    assert (urls(pages), archives.faults(pages)) == (["1", "2"], ["", ""])
    assert (reader.skipped["padding"], reader.end) == (2, path.stat().st_size)


def test_bomb_costs_neither_memory_nor_time(archives: Any) -> None:
    zeros, packer = b"\0" * (1 << 20), zlib.compressobj(9, zlib.DEFLATED, 31)
    head = archives.record(b"", number=7, length=130 << 20).rstrip(b"\r\n") + b"\r\n\r\n"
    bomb = packer.compress(head) + b"".join(packer.compress(zeros) for _ in range(130)) + packer.flush()
    path = archives.write([bomb, pack(archives.page(1))])
    limits = Limits(max_record_bytes=1 << 20, max_member_bytes=128 << 20)
    began = time.monotonic()
    tracemalloc.start()
    pages, _ = archives.read(path, limits=limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert archives.faults(pages) == ["gzip_bomb", ""]
    assert (pages[0].url, urls(pages)[1]) == ("http://example.org/7", "1")
    assert peak < 12 << 20, f"{peak / 2**20:.1f} MiB"
    assert time.monotonic() - began < 20


def test_record_of_50_mb(archives: Any) -> None:
    body = random.Random(0).randbytes(1 << 20) * 50
    path = archives.write([pack(archives.page(1)), pack(archives.record(body, number=7), 0), pack(archives.page(2))])
    pages, _ = archives.read(path)
    assert [len(p.body) for p in pages[1:2]] == [len(body)]
    assert pages[1].body == body
    assert (urls(pages), archives.faults(pages)) == (["1", "7", "2"], ["", "", ""])


# one stream, several records a member, other packings


def test_one_stream_is_read_by_its_first_task(archives: Any) -> None:
    raw = [archives.page(n, 3000) for n in range(60)]
    path = archives.write(pack(b"".join(raw)))
    size = path.stat().st_size
    pages, reader = archives.read(path)
    assert urls(pages) == [str(n) for n in range(60)]
    assert [p.offset for p in pages] == [sum(map(len, raw[:n])) for n in range(60)]
    assert (reader.first, reader.end) == (0, size)
    parts, rounds = archives.chain(path, [0, size // 3, size // 2, size])
    assert parts == pages
    assert rounds == 1


def test_one_stream_that_holds_a_stored_archive(archives: Any) -> None:
    inner = b"".join(pack(archives.page(n)) for n in range(100, 110))
    raw = archives.page(1) + archives.record(inner, number=2) + archives.page(3)
    path = archives.write(pack(raw, 0))
    pages, _ = archives.read(path)
    assert urls(pages) == ["1", "2", "3"]
    for cut in range(1, path.stat().st_size, 41):
        assert archives.chain(path, [0, cut, path.stat().st_size])[0] == pages


def test_one_stream_in_pieces_and_with_faults(archives: Any) -> None:
    raw = b"".join(archives.page(n) for n in range(5))
    split = len(archives.page(0)) + 100 + len(archives.page(1))
    path = archives.write([pack(raw[:split]), pack(raw[split:]), b"junk", pack(archives.page(9))])
    pages, _ = archives.read(path)
    assert urls(pages) == ["0", "1", "2", "3", "4", "", "9"]
    assert archives.faults(pages)[5] == "unreadable_record"
    offsets = [p.offset for p in pages]
    assert offsets == sorted(set(offsets))
    lies = archives.page(0) + archives.record(b"y" * 100, number=7, length=90_000) + archives.page(2)
    pages, _ = archives.read(archives.write(pack(lies)))
    assert (urls(pages), archives.faults(pages)) == (["0", "7", "2"], ["", "false_length", ""])
    cut = pack(raw)[:-50]
    pages, _ = archives.read(archives.write(cut))
    assert archives.faults(pages)[-1] == "truncated_record"
    assert set(archives.faults(pages)[:-1]) == {""}


def test_many_false_lengths_stay_linear(archives: Any) -> None:
    count = 400
    raw = b"".join(archives.record(b"z" * 500, number=n, length=10**9) for n in range(count))
    for name, data in {"a.warc.gz": pack(archives.page(0) + raw), "a.warc": archives.page(0) + raw}.items():
        began = time.monotonic()
        pages, _ = archives.read(archives.write(data, name))
        assert archives.faults(pages)[:count] == ["", *["false_length"] * (count - 1)]
        assert len(pages) == count + 1
        assert time.monotonic() - began < 5


def test_honest_records_after_false_ones_stay_whole(archives: Any) -> None:
    lies = b"".join(archives.record(b"z" * 500, number=n, length=9000) for n in range(12))
    honest = b"".join(archives.page(n, 3000) for n in range(20, 30))
    for name, data in {"a.warc.gz": pack(archives.page(0) + lies + honest), "a.warc": lies + honest}.items():
        pages, _ = archives.read(archives.write(data, name))
        assert urls(pages)[-10:] == [str(n) for n in range(20, 30)]
        assert archives.faults(pages)[-11:] == ["false_length", *[""] * 10]


def test_several_records_in_a_later_member(archives: Any) -> None:
    first = pack(archives.page(1))
    path = archives.write([first, pack(archives.page(2) + archives.page(3)), pack(archives.page(4))])
    pages, _ = archives.read(path)
    assert urls(pages) == ["1", "2", "3", "4"]
    assert [p.offset for p in pages[1:3]] == [len(first), len(first) + 1]
    for cut in range(1, path.stat().st_size):
        assert archives.chain(path, [0, cut, path.stat().st_size])[0] == pages


def test_uncompressed(archives: Any) -> None:
    raw = [archives.page(n) for n in range(4)]
    pages, reader = archives.read(archives.write(raw, "a.warc"))
    assert [p.offset for p in pages] == [sum(map(len, raw[:n])) for n in range(4)]
    assert (urls(pages), reader.end) == (["0", "1", "2", "3"], sum(map(len, raw)))
    cut = archives.write(b"".join(raw)[:-40], "b.warc")
    assert archives.faults(archives.read(cut)[0]) == ["", "", "", "truncated_record"]
    long = [raw[0], archives.record(b"y" * 10, number=7, length=10_000), raw[1]]
    pages, _ = archives.read(archives.write(long, "c.warc"))
    assert (urls(pages), archives.faults(pages)) == (["0", "7", "1"], ["", "false_length", ""])
    inner = archives.record(b"".join(raw[:2]), number=7)  # an honest record that holds an archive
    assert urls(archives.read(archives.write([raw[3], inner, raw[2]], "d.warc"))[0]) == ["3", "7", "2"]


def test_zstandard(archives: Any) -> None:
    raw = [archives.page(n, 4000) for n in range(6)]
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(r) for r in raw]
    pages, reader = archives.read(archives.write(frames, "a.warc.zst"))
    assert (urls(pages), [p.offset for p in pages]) == (list("012345"), [sum(map(len, frames[:n])) for n in range(6)])
    assert reader.end == sum(map(len, frames))
    broken = frames[2][:-4] + b"1234"
    pages, _ = archives.read(archives.write([*frames[:2], broken, *frames[3:5], frames[5][:-30]], "b.warc.zst"))
    assert archives.faults(pages) == ["", "", "damaged_record", "", "", "truncated_record"]
    bomb = zstandard.compress(archives.record(b"\0" * (40 << 20), number=7))
    tracemalloc.start()
    pages, _ = archives.read(archives.write([bomb, frames[1]], "c.warc.zst"), limits=SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (archives.faults(pages), peak < 6 << 20) == (["gzip_bomb", ""], True)


@pytest.mark.parametrize("packed", [False, True])
def test_zstandard_with_a_dictionary(archives: Any, packed: bool) -> None:
    raw = [archives.page(n) for n in range(400)]
    dictionary = zstandard.train_dictionary(4096, raw)
    inside = zstandard.compress(dictionary.as_bytes()) if packed else dictionary.as_bytes()
    frame = b"\x5d\x2a\x4d\x18" + len(inside).to_bytes(4, "little") + inside
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    path = archives.write([frame, *(packer.compress(r) for r in raw)], "a.warc.zst")
    pages, reader = archives.read(path)
    assert urls(pages) == [str(n) for n in range(400)]
    assert (pages[0].offset, reader.first, reader.end) == (len(frame), 0, path.stat().st_size)


ARC_HEAD = b"1 1 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"


def _arc(number: int, block: bytes) -> bytes:
    return f"http://example.org/{number} 1.2.3.4 20080430204825 text/html {len(block)}\n".encode() + block + b"\n"


@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz"])
def test_arc(archives: Any, name: str) -> None:
    first = f"filedesc://a.arc 0.0.0.0 20080430204825 text/plain {len(ARC_HEAD)}\n".encode() + ARC_HEAD + b"\n"
    blocks = [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", b"GIF89a", b"HTTP/1.0 404\r\n\r\n"]
    raw = [first, *(_arc(n, block) for n, block in enumerate(blocks))]
    parts = [pack(r) if name.endswith(".gz") else r for r in raw]
    path = archives.write(parts, name)
    pages, reader = archives.read(path)
    assert [p.id for p in pages] == [f"{name}@{sum(map(len, parts[: n + 1]))}" for n in range(3)]
    assert [(p.body_kind, p.content_type) for p in pages] == [
        (Body.HTTP, "text/plain"),
        (Body.RESOURCE, "text/html"),
        (Body.HTTP, ""),
    ]
    assert [p.body for p in pages] == blocks
    assert (pages[0].date, urls(pages)) == ("2008-04-30T20:48:25Z", ["0", "1", "2"])
    assert dict(reader.skipped) == {"filedesc": 1}


def test_arc_with_a_false_length(archives: Any) -> None:
    bad = _arc(1, b"x" * 40).replace(b" 40\n", b" 400\n")
    pages, _ = archives.read(archives.write([_arc(0, b"a"), bad, _arc(2, b"b")], "a.arc"))
    assert (urls(pages), archives.faults(pages)) == (["0", "1", "2"], ["", "false_length", ""])


def test_a_plain_file_named_gz(archives: Any) -> None:
    path = archives.write(archives.page(1))
    with pytest.raises(FormatError, match=r"a\.warc\.gz: its name says gzip, its bytes are not packed"):
        archives.read(path)


# ranges


def test_any_cutting_reads_what_one_task_reads(archives: Any) -> None:
    chance = random.Random(5)
    members = [pack(archives.page(n, chance.randrange(50, 3000)), chance.choice([0, 1, 9])) for n in range(40)]
    members[7] = members[7][:-9] + b"\0" + members[7][-8:]
    members[20] = b"noise" * 30
    path = archives.write(members)
    size = path.stat().st_size
    whole, _ = archives.read(path)
    assert len(whole) == 40
    for step in (17, 100, 333, 1024, 5000, size):
        parts, _ = archives.chain(path, [*range(0, size, step), size])
        assert parts == whole, step


def test_a_stored_archive_across_every_boundary(archives: Any) -> None:
    """A page that is a .warc.gz, stored by deflate as it is: its members look like the file's own."""
    inner = b"".join(pack(archives.page(100 + n)) for n in range(4))
    nest = pack(archives.record(b"HTTP/1.1 200 OK\r\n\r\n" + inner, number=50), 0)
    assert inner in nest
    path = archives.write([pack(archives.page(1)), nest, pack(archives.page(2)), pack(archives.page(3))])
    size = path.stat().st_size
    whole, _ = archives.read(path)
    assert urls(whole) == ["1", "50", "2", "3"]
    fooled = 0
    for cut in range(1, size):
        parts, rounds = archives.chain(path, [0, cut, size])
        assert parts == whole, cut
        fooled += rounds > 1
    assert fooled > len(inner) // 2, "the guess must have been wrong for the test to mean anything"
    for step in (64, 200, 777):
        assert archives.chain(path, [*range(0, size, step), size])[0] == whole


def test_a_stored_archive_longer_than_many_ranges(archives: Any) -> None:
    inner = b"".join(pack(archives.page(n)) for n in range(200))
    path = archives.write([pack(archives.page(1)), pack(archives.record(inner, number=50), 0), pack(archives.page(2))])
    whole, _ = archives.read(path)
    parts, rounds = archives.chain(path, [*range(0, path.stat().st_size, 3000), path.stat().st_size])
    assert (parts, urls(whole), rounds) == (whole, ["1", "50", "2"], 2)


def test_bounds(archives: Any) -> None:
    members = [pack(archives.page(n, 2000)) for n in range(3)]
    path = archives.write(members)
    one, two, size = len(members[0]), len(members[0]) + len(members[1]), path.stat().st_size
    cases = {
        (0, 10): (0, one, ["0"]),
        (10, one): (one, one, []),
        (10, one + 1): (one, two, ["1"]),
        (10, size): (one, size, ["1", "2"]),
        (two, size): (two, size, ["2"]),
        (two + 1, size): (size, size, []),
        (two + 1, size + 99): (size, size, []),
    }
    for (start, end), expected in cases.items():
        pages, reader = archives.read(path, start, end)
        assert (reader.first, reader.end, urls(pages)) == expected, (start, end)


def test_agrees_with_warcio_on_real_pages(archives: Any) -> None:
    folder = Path(__file__).parents[4] / "shared" / "data" / "koweb"
    paths = sorted(folder.glob("*.warc.gz"))
    if not paths:
        pytest.skip(f"{folder} has no WARC files")
    for path in paths:
        pages, _ = archives.read(path)
        expected = [
            (r.rec_headers["WARC-Record-ID"], r.rec_headers["WARC-Target-URI"], r.content_stream().read())
            for r in ArchiveIterator(io.BytesIO(path.read_bytes()), no_record_parse=True)
            if r.rec_type == "response"
        ]
        assert [(p.id, p.url, p.body) for p in pages] == expected
        size = path.stat().st_size
        assert archives.chain(path, [*range(0, size, 50_000), size])[0] == pages
