"""Bytes of a page to text: which encoding they are in, asked in a fixed order, every answer checked.

Order: byte order mark; strict UTF-8; the encoding that the server declared; the one that the page declares in its
first 4,096 bytes (WHATWG's prescan, simplified), each first strictly, then with up to 1 % of the characters replaced;
UTF-8 with few broken characters among many sound ones; a guess from a bounded sample; UTF-8 with up to 1 % replaced.
Labels mean what browsers take them to mean (WHATWG Encoding: `latin-1` is windows-1252, `euc-kr` is its superset
cp949). What decodes to control characters is no text and is refused, whatever its label says.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import islice

import webencodings

from text.encoding_guess import guess

__all__ = ["decode"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's codec where it is wider or nearer to WHATWG's than the one of the same name.
_CODECS = {
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "x-user-defined": "cp1252",
}
# Labels that pages use and WHATWG's list lacks.
_ALIASES = {"latin-1": "latin1", "cp949": "windows-949", "uhc": "windows-949", "cp932": "windows-31j", "cp936": "gbk"}
_PRESCAN = 4096
_SAMPLE = 65_536
_MAX_REPLACED = 0.01
_MAX_CONTROLS = 0.01

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*?charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:+-]+)[\"']")
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s;\"']+)", re.IGNORECASE)
_TAGS = re.compile(rb"<[^<>]{0,2000}>")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")


def decode(body: bytes, declared: str = "", html: bool = True) -> str | None:
    """Returns the text of `body`, or None where it is no text in an encoding that could be told.

    A multi-byte character cut off at the end is dropped (crawls cut long pages); a byte order mark is, too. The same
    bytes always give the same text, in a time linear in their number.

    Args:
        body: the bytes, transfer and content encodings undone.
        declared: the label from the HTTP header, or the header `Content-Type` itself; unknown ones count as none.
        html: whether to look for `<meta charset>` and the XML declaration.
    """
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return _checked(_tolerantly(body[len(mark) :], codec))
    for text in _attempts(body, declared, html):
        if _checked(text) is not None:
            return text
    return None


def _attempts(body: bytes, declared: str, html: bool) -> Iterator[str | None]:
    escapes = b"\x1b$" in body and body.isascii()
    if escapes:  # ISO-2022-JP, which is valid UTF-8 byte by byte
        yield _strictly(body, "iso2022_jp")
    yield _strictly(body, "utf-8")
    header = _HEADER.search(declared)
    labels = (header[1] if header else declared, _named_inside(body[:_PRESCAN]) if html else "")
    codecs_named = [codec for codec in map(_codec, labels) if codec]
    for codec in codecs_named:
        yield _strictly(body, codec)
    for codec in codecs_named:
        yield _tolerantly(body, codec)
    yield _nearly_utf8(body)
    yield _detected(body)
    yield _tolerantly(body, "utf-8")


def _codec(label: str) -> str:
    """Returns the name of Python's codec for a label of WHATWG's list, or `""`."""
    found = webencodings.lookup(_ALIASES.get(label.strip().lower(), label))
    return _CODECS.get(found.name, found.codec_info.name) if found else ""


def _named_inside(head: bytes) -> str:
    """Returns the label that a page gives itself, or `""`."""
    named = _XML.match(head) or _META.search(_COMMENT.sub(b"", head))
    label = named[1].decode("ascii", "replace") if named else ""
    # The prescan reads ASCII, so a page that says UTF-16 there is wrong.
    return "utf-8" if label.lower().startswith("utf-16") else label


def _strictly(body: bytes, codec: str) -> str | None:
    """Returns the text if every byte fits, but for a character cut off at the end of a text that has others."""
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        text = decoder.decode(body)
        if decoder.getstate()[0] and text.isascii():  # the last byte may just as well be one of Latin-1
            return None
    except UnicodeDecodeError:
        return None
    return text


def _tolerantly(body: bytes, codec: str) -> str | None:
    """Returns the text if at most 1 % of its characters had to be replaced."""
    text = body.decode(codec, "replace")
    return text if _replaced(text) <= _MAX_REPLACED * len(text) else None


def _nearly_utf8(body: bytes) -> str | None:
    """Returns the text if it is UTF-8 beyond doubt, damaged: ten sound multi-byte characters for a broken one."""
    text = _tolerantly(body, "utf-8")
    if text is None:
        return None
    sound = sum(map(len, re.findall("[^\x00-\x7f\ufffd]+", text)))
    return text if sound >= 10 * _replaced(text) else None


def _replaced(text: str) -> int:
    return text.count("\ufffd")


def _detected(body: bytes) -> str | None:
    """Returns the text in the encoding that its bytes look like most, judged by those that aren't ASCII."""
    first = next(re.finditer(rb"[^\x00-\x7f]", body), None)
    if first is None:
        return None
    start = max(0, first.start() - 1024)
    codec = guess(_TAGS.sub(b" ", body[start : start + _SAMPLE]))
    return _tolerantly(body, codec) if codec else None


def _checked(text: str | None) -> str | None:
    """Returns the text unless more than 1 % of it are control characters: then it is something binary."""
    if text is None:
        return None
    most = int(_MAX_CONTROLS * len(text))
    controls = sum(1 for _ in islice(_CONTROLS.finditer(text), most + 1))  # no further: 10 MB of them took 3 s
    return text if controls <= most else None
