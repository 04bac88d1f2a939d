import codecs
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import text.encoding
from text.encoding import decode

ROOT = Path(text.encoding.__file__).parents[1]
KOREAN = "물레방아는 쉬지 않고 돌았다. 거친 곡식을 빻아 고운 가루를 얻는다. "
JAPANESE = "水車は休まず回り続けた。粗い穀物を挽いて、きれいな粉にする。"
CHINESE = "水车不停地转动。把粗粮磨成细粉，人们都很高兴。"
RUSSIAN = "Мельница вращалась без остановки, и люди радовались. "
FRENCH = "Le château était très élevé, où les forêts brûlent. L’œuvre coûte 5 €. "
GERMAN = "Die Mühle drehte sich über die Maßen. "

# body, declared, expected
CASES = {
    "empty": (b"", "", ""),
    "ascii": (b"plain", "", "plain"),
    "utf8": (KOREAN.encode(), "", KOREAN),
    "utf8_before_what_is_declared": (KOREAN.encode(), "euc-kr", KOREAN),
    "utf8_bom": (codecs.BOM_UTF8 + b"a", "", "a"),
    "utf8_cut_off": (KOREAN.encode()[:-2], "", KOREAN[:-2]),
    "utf16_le_bom": (codecs.BOM_UTF16_LE + KOREAN.encode("utf-16-le"), "", KOREAN),
    "utf16_be_bom": (codecs.BOM_UTF16_BE + FRENCH.encode("utf-16-be"), "", FRENCH),
    "utf32_bom": (codecs.BOM_UTF32_LE + FRENCH.encode("utf-32-le"), "", FRENCH),
    "utf16_declared": (FRENCH.encode("utf-16-le"), "utf-16", FRENCH),
    "euc_kr_declared": (KOREAN.encode("euc-kr"), "EUC-KR", KOREAN),
    "euc_kr_means_its_superset": ("똠방각하".encode("cp949"), "euc-kr", "똠방각하"),
    "ks_c_5601": (KOREAN.encode("cp949"), "ks_c_5601-1987", KOREAN),
    "shift_jis_means_its_superset": ("①㈱".encode("cp932"), "shift_jis", "①㈱"),
    "gb2312_means_its_superset": ("朱镕基".encode("gbk"), "gb2312", "朱镕基"),
    "latin_1_means_windows": ("“5 €”".encode("cp1252"), "latin-1", "“5 €”"),
    "content_type_as_declaration": (RUSSIAN.encode("koi8-r"), 'text/html; charset="koi8-r"', RUSSIAN),
    "content_type_without_charset": (GERMAN.encode("latin-1"), "text/html", GERMAN),
    "unknown_label": (GERMAN.encode("latin-1"), "x-unknown", GERMAN),
    "wrong_declaration": (KOREAN.encode("cp949"), "shift_jis", KOREAN),
    "iso_2022_jp": (JAPANESE.encode("iso2022_jp"), "", JAPANESE),
    "guess_euc_kr": (KOREAN.encode("euc-kr"), "", KOREAN),
    "guess_shift_jis": (JAPANESE.encode("shift_jis"), "", JAPANESE),
    "guess_euc_jp": (JAPANESE.encode("euc_jp"), "", JAPANESE),
    "guess_gb18030": (CHINESE.encode("gb18030"), "", CHINESE),
    "guess_windows_1251": (RUSSIAN.encode("cp1251"), "", RUSSIAN),
    "guess_koi8": (RUSSIAN.encode("koi8-r"), "", RUSSIAN),
    "guess_latin_1": (GERMAN.encode("latin-1"), "", GERMAN),
    "guess_windows_1252": (FRENCH.encode("cp1252"), "", FRENCH),
    "guess_latin_2": ("Žluťoučký kůň úpěl ďábelské ódy".encode("iso8859-2"), "", "Žluťoučký kůň úpěl ďábelské ódy"),
    "guess_turkish": ("Değirmen dönüyordu, ığdır şöyle".encode("cp1254"), "", "Değirmen dönüyordu, ığdır şöyle"),
    "guess_greek": ("Ο μύλος γύριζε και όλοι χάρηκαν".encode("cp1253"), "", "Ο μύλος γύριζε και όλοι χάρηκαν"),
    "guess_hebrew": ("הטחנה הסתובבה ללא הפסקה".encode("cp1255"), "", "הטחנה הסתובבה ללא הפסקה"),
    "guess_arabic": ("كانت الطاحونة تدور دون توقف".encode("cp1256"), "", "كانت الطاحونة تدور دون توقف"),
    "guess_thai": ("โรงสีหมุนไม่หยุดและผู้คนก็ยินดี".encode("cp874"), "", "โรงสีหมุนไม่หยุดและผู้คนก็ยินดี"),
    "latin_1_ending_in_an_accent": (b"un caf\xe9", "", "un café"),
    "broken_utf8": ((KOREAN * 9).encode() + b"\xff " + KOREAN.encode(), "", KOREAN * 9 + "\ufffd " + KOREAN),
    "broken_euc_kr": (
        (KOREAN * 9).encode("cp949") + b"\xff " + GERMAN[:3].encode(),
        "euc-kr",
        KOREAN * 9 + "\ufffd Die",
    ),
    "binary": (bytes(range(256)) * 20, "", None),
    "binary_declared_as_text": (bytes(range(256)) * 20, "windows-1252", None),
    "nul_heavy": (b"a\x00b\x00\x01" * 50, "", None),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + random.Random(0).randbytes(500), "", None),
    "all_broken_after_a_bom": (codecs.BOM_UTF8 + b"\xff" * 100, "", None),
}


@pytest.mark.parametrize(("body", "declared", "expected"), CASES.values(), ids=CASES)
def test_decode(body: bytes, declared: str, expected: str | None) -> None:
    assert decode(body, declared) == expected


META = {
    "html5": b'<meta charset="euc-kr">',
    "html4": b'<META http-equiv=Content-Type content="text/html; charset=euc-kr">',
    "xml": b'<?xml version="1.0" encoding="euc-kr"?>',
    "unquoted": b"<meta charset=EUC-KR/>",
    "after_a_comment": b'<!-- <meta charset="utf-8"> --><meta charset="euc-kr">',
    "late": b" " * 4000 + b'<meta charset="euc-kr">',
}
SHORT = "값".encode("euc-kr")  # too little to guess by


@pytest.mark.parametrize("head", META.values(), ids=META)
def test_the_page_names_its_encoding(head: bytes) -> None:
    assert decode(head + SHORT) == head.decode() + "값"


@pytest.mark.parametrize(
    "head",
    [b" " * 4096 + b'<meta charset="euc-kr">', b'<!-- <meta charset="euc-kr"> -->', b"<p>charset=euc-kr</p>"],
    ids=["too_late", "in_a_comment", "in_text"],
)
def test_what_names_no_encoding(head: bytes) -> None:
    assert decode(head + SHORT) != head.decode() + "값"


def test_plain_text_is_not_searched_for_meta() -> None:
    assert decode(META["html5"] + SHORT, html=False) != META["html5"].decode() + "값"


def test_the_server_comes_before_the_page() -> None:
    body = b'<meta charset="windows-1251">' + KOREAN.encode("cp949")
    assert decode(body, "euc-kr") == '<meta charset="windows-1251">' + KOREAN


@pytest.mark.parametrize(("broken", "kept"), [(0, True), (1, True), (2, False)])
def test_at_most_one_in_a_hundred_is_replaced(broken: int, kept: bool) -> None:
    # \xff is no UTF-8, and among plain letters no alphabet's
    body = b"a" * (100 - broken) + b"\xff" * broken
    assert (decode(body, "utf-8") == "a" * (100 - broken) + "\ufffd" * broken) is kept


@pytest.mark.parametrize(("controls", "kept"), [(0, True), (1, True), (2, False)])
def test_at_most_one_in_a_hundred_is_a_control(controls: int, kept: bool) -> None:
    body = b"a" * (100 - controls) + b"\x00" * controls
    assert (decode(body) is not None) is kept


def test_white_space_and_escapes_are_no_controls() -> None:
    assert decode(b"a\t\n\x0c\r\x1b ") == "a\t\n\x0c\r\x1b "


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "euc-kr", "utf-16", "nonsense", "x-user-defined"]))
def test_any_bytes_get_the_same_answer_twice(body: bytes, declared: str) -> None:
    assert decode(body, declared) == decode(body, declared)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda t: t[0] != "\ufeff"))
def test_utf8_comes_back(text: str) -> None:
    assert decode(text.encode()) == text


def test_hash_seed_does_not_matter() -> None:
    bodies = {case: (body, declared) for case, (body, declared, _) in CASES.items()}
    code = f"from text.encoding import decode; print({{c: decode(*b) for c, b in {bodies!r}.items()}})"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "body",
    [b"\x80" * 10**6, b"a\xe9" * 500_000, b"\x00" * 10**6, b"<meta " * 170_000 + b"\xe9", b"<" * 10**6 + b"\xe9"],
    ids=["continuations", "accents", "nuls", "metas", "brackets"],
)
def test_hostile_bytes_take_bounded_time(body: bytes) -> None:
    start = time.process_time()
    decode(body, "text/html; " * 1000)
    assert time.process_time() - start < 2
