"""Replaces personal data that has a fixed form: e-mail addresses and public IP addresses."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import xxhash

from schemas.records import Document
from schemas.stage import Edit

__all__ = ["Pii"]

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"

_DOMAIN = re.compile(rf"@(?:(?:{_LABEL}\.)+{_LABEL}|\[(?:{_BYTE}\.){{3}}(?:{_BYTE}|[A-Za-z0-9-]*[A-Za-z0-9]:)])")
_LOCAL_REVERSED = re.compile(rf"{_ATOM}+(?:\.{_ATOM}+)*")
_LOCAL_START = re.compile(rf"\b{_ATOM}")
_IPV4 = re.compile(rf"(?:{_BYTE}\.){{3}}{_BYTE}")


@dataclass(frozen=True, kw_only=True)
class Pii(Edit):
    """FineWeb's anonymisation (Penedo et al. 2024, arXiv 2406.17557, appendix), as datatrove 0.10.1's `PIIFormatter`.

    It finds exactly the same addresses, in time linear in the text: datatrove's expression for e-mail addresses takes
    quadratic time on text such as `a!a!a!…`. An IPv4 address counts as public where `ipaddress` calls it global.

    Deviation: which replacement an address gets follows from a hash of the address, where datatrove takes the next one
    in turn, so that its output depends on which documents came before.
    """

    emails: tuple[str, ...] = ("email@example.com", "firstname.lastname@example.org")
    """Replacements of e-mail addresses; none leaves them alone."""
    ips: tuple[str, ...] = (
        "22.214.171.124",
        "126.96.36.199",
        "188.8.131.52",
        "184.108.40.206",
        "220.127.116.11",
        "18.104.22.168",
    )
    """Replacements of IP addresses, none of which answered when FineWeb chose them; none leaves them alone."""
    public_ips_only: bool = True

    def libraries(self) -> tuple[str, ...]:
        """The hash chooses replacements."""
        return ("xxhash",)

    def edit(self, doc: Document) -> Document:
        """The document with its addresses replaced."""
        text = self.mask(doc.text)
        return doc if text == doc.text else replace(doc, text=text)

    def mask(self, text: str) -> str:
        """The text with its addresses replaced: e-mail addresses first, then what looks like an IP in the result."""
        if self.emails and "@" in text:
            pieces: list[str] = []
            end = 0
            for start, stop in email_spans(text):
                pieces += (text[end:start], _choice(self.emails, text[start:stop]))
                end = stop
            text = "".join((*pieces, text[end:]))
        if self.ips:
            text = _IPV4.sub(self._mask_ip, text)
        return text

    def _mask_ip(self, match: re.Match[str]) -> str:
        found = match.group()
        return _choice(self.ips, found) if is_address(found, self.public_ips_only) else found


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every e-mail address, in order.

    A match of datatrove's expression holds one `@`, and what follows that does not depend on what precedes it. So each
    `@` is looked at once: the domain ahead of it, then the longest dot-atom behind it, read backwards; the address
    starts at the first word boundary in there.
    """
    end = 0
    at = text.find("@")
    floor = 0  # nothing before it can belong to this `@`: the end of the address or the `@` before
    while at != -1:
        domain = _DOMAIN.match(text, at)
        local = domain and _LOCAL_REVERSED.match(text[floor:at][::-1])
        if domain and local:
            start = _LOCAL_START.search(text, max(at - local.end(), end), at)
            if start:
                end = domain.end()
                yield start.start(), end
        floor = max(end, at + 1)
        at = text.find("@", floor)


def is_address(text: str, public_only: bool) -> bool:
    """Whether it is an IP address at all (`01.2.3.4` is none), and a global one if that is asked for."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global or not public_only


def _choice(replacements: tuple[str, ...], found: str) -> str:
    return replacements[xxhash.xxh3_64_intdigest(found.encode()) % len(replacements)]
