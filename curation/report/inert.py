"""Makes strings from the web harmless and legible: what a page holds is shown, never obeyed.

Escaping is the template's (autoescape); here is what escaping leaves alive: control characters, overrides of the
writing direction, invisible characters, piles of combining marks, and addresses that would do something when clicked.
"""

import re
import unicodedata
from urllib.parse import urlsplit

_JOINERS = "\u200c\u200d"
"""Zero-width joiners: invisible, but Persian, Indic scripts and emoji are spelled with them."""

_MARKS = 4
"""Combining marks in a row that stay; no language stacks more."""

_BLANK_LINES = re.compile(r"\n\s*\n")
_WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def visible(text: str) -> str:
    """The text with every character either printable or shown as a sign of its own.

    Line breaks stay (runs of blank lines become one), tabs become spaces, control characters become their pictures
    (NUL is `␀`), other invisible or direction-changing ones their code point (`⟨U+202E⟩`), lone surrogates `�`.
    """
    out: list[str] = []
    marks = 0
    for char in _BLANK_LINES.sub("\n\n", text.replace("\r\n", "\n").expandtabs(4)):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS:
            out.append(_sign(char, category))
    return "".join(out)


def one_line(text: str) -> str:
    """As `visible`, on one line."""
    return " ".join(visible(text).split())


def link(url: str) -> str:
    """The URL where clicking it can only open a web page, else "".

    Only http and https in printable ASCII, with a host and without credentials (which dress up as a host) pass.
    """
    if not _WEB_ADDRESS.fullmatch(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.hostname and "@" not in parts.netloc else ""


def _sign(char: str, category: str) -> str:
    code = ord(char)
    if char == "\n" or char in _JOINERS:
        return char
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    if code < 0x20 or code == 0x7F:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)
    if category in ("Cc", "Cf", "Cn"):
        return f"⟨U+{code:04X}⟩"
    return char
