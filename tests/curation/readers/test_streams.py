"""Look-ahead, going back and searching over members, in any piece size."""

import gzip
import io
import re
from collections.abc import Callable

import pytest
import zstandard

from curation.readers import Limits, members
from curation.readers.members import CutError, DamagedError, GzipMember, PlainMember, ZstdMember
from curation.readers.streams import BombError, Stream, reason
from curation.readers.window import Window

RAW = b"".join(b"line %d\n" % n for n in range(3000))
LIMITS = Limits(max_member_bytes=1 << 20)
KINDS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress, "plain": bytes}


def _stream(data: bytes, kind: str, *, joined: bool = False, limits: Limits = LIMITS) -> Stream:
    window = Window(io.BytesIO(data), 512)
    opener = {"gzip": GzipMember, "zstd": ZstdMember, "plain": PlainMember}[kind]
    return Stream(lambda at: opener(window, at), 0, None if kind == "plain" else limits, joined=joined)


@pytest.fixture(params=[50, 4096, 1 << 18])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(members, "PIECE", request.param)
    return int(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_reading(kind: str, piece: int) -> None:
    stream = _stream(KINDS[kind](RAW), kind)
    assert (stream.peek(6), stream.position, stream.take(3), stream.position) == (b"line 0", 0, b"lin", 3)
    assert (stream.skip(20_000), stream.position) == (20_000, 20_003)
    assert stream.take(700) == RAW[20_003:20_703]
    stream.seek(5)
    assert (stream.take(10), stream.position) == (RAW[5:15], 15)
    assert b"".join(stream.pieces()) == RAW[15:]
    assert (stream.peek(1), stream.error, stream.take(9), stream.skip(9)) == (b"", None, b"", 0)
    assert stream.consumed == len(KINDS[kind](RAW))
    stream.seek(0)
    assert stream.take(len(RAW) + 1) == RAW


@pytest.mark.parametrize("kind", KINDS)
def test_find(kind: str, piece: int) -> None:
    packed = KINDS[kind](RAW)
    at = RAW.index(b"\nline 2500\n")
    cases = {None: at, at: -1, at + 1: at, 10: -1}
    for limit, place in cases.items():
        stream = _stream(packed, kind)
        stream.skip(3)
        assert stream.find(re.compile(rb"\nline 2500\n"), 20, limit) == place, limit
        assert stream.position == (at if place >= 0 else min(limit or 0, len(RAW))), limit
    stream = _stream(packed, kind)
    assert (stream.find(re.compile(b"nowhere"), 20), stream.position) == (-1, len(RAW))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_members_that_are_one_stream(kind: str, piece: int) -> None:
    pack = KINDS[kind]
    data = pack(RAW[:777]) + pack(b"") + pack(RAW[777:])
    assert b"".join(_stream(data, kind).pieces()) == RAW[:777]
    assert b"".join(_stream(data, kind, joined=True).pieces()) == RAW
    later = _stream(data, kind)
    assert later.take(9999) == RAW[:777]
    later.join()
    assert b"".join(later.pieces()) == RAW[777:]
    behind = _stream(data + b"junk", kind, joined=True)
    assert (b"".join(behind.pieces()), behind.error, behind.consumed) == (RAW, None, len(data))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_errors_come_after_what_was_sound(kind: str, piece: int) -> None:
    packed = KINDS[kind](RAW)
    cut = _stream(packed[:-3], kind)
    assert RAW.startswith(b"".join(cut.pieces()))
    assert isinstance(cut.error, CutError)
    none = _stream(b"not packed", kind)
    assert (none.peek(1), isinstance(none.error, DamagedError)) == (b"", True)
    bomb = _stream(KINDS[kind](b"\0" * (2 << 20)), kind)
    assert bomb.skip(3 << 20) <= 1 << 20
    assert isinstance(bomb.error, BombError)


def test_gzip_damage_is_found_to_the_byte() -> None:
    packed = bytearray(gzip.compress(RAW, mtime=0))
    packed[2000] ^= 0xFF
    stream = _stream(bytes(packed), "gzip")
    sound = b"".join(stream.pieces())
    assert len(sound) > 3000
    assert (isinstance(stream.error, DamagedError), RAW.startswith(sound[:3000])) == (True, True)


def test_gzip_headers_of_every_kind() -> None:
    plain = gzip.compress(b"x", mtime=0)
    extra = b"\x05\x00hello"
    flags = {0: b"", 4: extra, 8: b"name\0", 16: b"comment\0", 2: b"12", 31: extra + b"name\0comment\0" + b"12"}
    for flag, fields in flags.items():
        data = plain[:3] + bytes([flag]) + plain[4:10] + fields + plain[10:]
        stream = _stream(data, "gzip")
        assert (b"".join(stream.pieces()), stream.error) == (b"x", None), flag
    reserved = _stream(plain[:3] + b"\x20" + plain[4:], "gzip")
    assert (reserved.peek(1), isinstance(reserved.error, DamagedError)) == (b"", True)


def test_ratio_of_joined_streams() -> None:
    honest, zeros = gzip.compress(RAW), gzip.compress(b"\0" * (1 << 20), 9)
    limits = Limits(max_member_bytes=1 << 16, max_ratio=20)
    long = _stream(honest * 50, "gzip", joined=True, limits=limits)
    assert (sum(map(len, long.pieces())), long.error) == (50 * len(RAW), None)
    bomb = _stream(honest + zeros, "gzip", joined=True, limits=limits)
    assert sum(map(len, bomb.pieces())) < 1 << 20
    assert isinstance(bomb.error, BombError)


def test_reasons() -> None:
    cases = {
        (BombError, True): "gzip_bomb",
        (CutError, False): "truncated_record",
        (DamagedError, True): "damaged_record",
        (DamagedError, False): "unreadable_record",
    }
    for (kind, known), name in cases.items():
        assert reason(kind("x"), known=known) == name
