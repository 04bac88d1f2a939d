"""How one run of non-white characters is cut into English words: what comes off either end, what cuts inside.

Source: the algorithm of spaCy 3.8's tokenizer with its English rules. Where that slices the string for each sign it
takes off and searches a pattern of a thousand ranges, this moves two indices and looks characters up, so its time is
linear in the run's length whatever the run holds.
"""

import re
from functools import cache, lru_cache

from text.codepoints import character_class
from text.english_characters import (
    BEFORE_FINAL_STOP,
    CURRENCIES,
    DOLLARS,
    HYPHENS,
    ICONS,
    MARKS,
    QUOTES,
    UNITS,
    letters,
    lower,
    upper,
)
from text.english_exceptions import exceptions

__all__ = ["Chunker"]

_DIGITS = frozenset("0123456789")
_DASHES = frozenset("—–")
_PREFIXES = MARKS | QUOTES | CURRENCIES | ICONS | _DASHES | frozenset("§%=")
_SUFFIXES = MARKS | QUOTES | ICONS | _DASHES
_UNIT_ENDS = frozenset(unit[-1] for unit in UNITS)
_LONGEST_UNIT = max(map(len, UNITS))


def _prefix(text: str, start: int, end: int) -> int:
    """Returns how many characters come off before `text[start:end]`, which isn't empty."""
    first = text[start]
    if first in _PREFIXES:
        return 1
    if first == ".":
        run = start + 1
        while run < end and text[run] == ".":
            run += 1
        return run - start if run - start > 1 else 0
    if first == "+":
        return 0 if start + 1 < end and text[start + 1] in _DIGITS else 1
    return next((len(sign) for sign in DOLLARS if first in "UCA" and text.startswith(sign, start, end)), 0)


def _suffix(text: str, start: int, end: int) -> int:
    """Returns how many characters come off after `text[start:end]`, looking at nothing before `start`."""
    if start == end:
        return 0
    last = text[end - 1]
    before = text[end - 2] if end - start > 1 else ""
    if last in _SUFFIXES:
        return 2 if last == "…" and before == "…" else 1
    if last == ".":
        return _final_stops(text, start, end)
    if last in "sS" and before and before in "'’":
        return 2
    if last == "+" and before in _DIGITS:
        return 1
    if last in _UNIT_ENDS:
        for at in range(end - 1, max(start, end - 1 - _LONGEST_UNIT), -1):
            if text[at - 1] in _DIGITS:
                return end - at if text[at:end] in UNITS else 0
    return 0


def _final_stops(text: str, start: int, end: int) -> int:
    """As `_suffix`, where the last character is a full stop."""
    run = end - 1
    while run > start and text[run - 1] == ".":
        run -= 1
    if end - run > 1:
        return end - run
    before, second = text[max(start, end - 2) : end - 1], text[max(start, end - 3) : max(start, end - 2)]
    if before in BEFORE_FINAL_STOP or before in lower() or (second == "°" and before and before in "FfCcKk"):
        return 1
    return 1 if before in upper() and second in upper() else 0


@cache
def _infix_pattern() -> re.Pattern[str]:
    letter, icons = character_class(letters()), character_class(ICONS)
    small, capital = character_class(lower() | QUOTES), character_class(upper() | QUOTES)
    hyphens = "|".join(sorted(HYPHENS, key=len))
    return re.compile(
        rf"(?=[.…{icons}+\-*^,–—~:<>=/])"  # only here can one start: spares five look-behinds a character
        rf"(?:\.\.+|[…{icons}]"
        r"|(?<=[0-9])[+\-*^](?=[0-9-])"
        rf"|(?<=[{small}])\.(?=[{capital}])"
        rf"|(?<=[{letter}]),(?=[{letter}])"
        rf"|(?<=[{letter}0-9])(?:{hyphens})(?=[{letter}])"
        rf"|(?<=[{letter}0-9])[:<>=/](?=[{letter}]))"
    )


# A web address is a scheme, perhaps a user, then a public IPv4 address or a host name, a port and a path. The pattern
# begins at the host: the search for the end of the user by a pattern takes quadratic time (see `_is_address`).
_OCTET = r"(?:1?\d{1,2}|2[0-4]\d|25[0-5])"
_PRIVATE = r"(?!(?:10|127)(?:\.\d{1,3}){3}|(?:169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2})"
_PUBLIC_IP = rf"(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.{_OCTET}){{2}}\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])"
_LABEL = r"(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\."
_SCHEME = re.compile(r"[\w+.-]{2,}://")


@cache
def _address_pattern() -> re.Pattern[str]:
    host = rf"(?:{_LABEL})+[{character_class(lower())}]{{2,63}}"
    return re.compile(rf"(?:{_PRIVATE}{_PUBLIC_IP}|{host})(?::\d{{2,5}})?(?:[/?#]|\Z)")


def _is_address(text: str, address: re.Pattern[str]) -> bool:
    """Tells whether all of `text`, which holds no white space, is a web or mail address, by `_address_pattern`."""
    if "." not in text:
        return False
    if address.match(text):
        return True
    scheme = _SCHEME.match(text)
    if scheme and address.match(text, scheme.end()):
        return True
    at = text.find("@", 1)
    while at > 0:
        if address.match(text, at + 1):
            return True
        at = text.find("@", at + 1)
    return False


class Chunker:
    """Cuts one chunk (a run without white space), given the exceptions to the rules."""

    def __init__(self, special: dict[str, tuple[str, ...]]) -> None:
        self.special = special
        self._longest = max(map(len, special), default=0)
        self._infix = _infix_pattern()
        self._address = _address_pattern()

    def cut(self, chunk: str) -> tuple[str, ...]:
        """Returns the words of `chunk`, which isn't empty; joined, they are `chunk` again."""
        if chunk in self.special:
            return self.special[chunk]
        if chunk.isalpha():  # no rule bears on letters alone
            return (chunk,)
        stem = chunk[:-1]
        if stem.isalpha() and (chunk[-1] in ",:;!?)" or _suffix(chunk, 0, len(chunk)) == 1):  # the commonest: `word,`
            return *self.special.get(stem, (stem,)), chunk[-1]
        start, end, ahead, behind = self._strip(chunk)
        words = [chunk[a:b] for a, b in ahead]
        if start < end:
            words.extend(self._inner(chunk[start:end]))
        words.extend(chunk[a:b] for a, b in reversed(behind))
        return tuple(words)

    def obeys_rules(self, chunk: str) -> bool:
        """Tells whether some rule could cut `chunk` were it no exception."""
        whole = 0, len(chunk)
        return bool(_prefix(chunk, *whole) or _suffix(chunk, *whole) or self._infix.search(chunk))

    def _is_special(self, chunk: str, start: int, end: int) -> bool:
        return 0 < end - start <= self._longest and chunk[start:end] in self.special

    def _strip(self, chunk: str) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Takes signs off both ends, one on each side a round, until nothing comes off or an exception is left."""
        start, end = 0, len(chunk)
        ahead: list[tuple[int, int]] = []
        behind: list[tuple[int, int]] = []
        while start < end and not self._is_special(chunk, start, end):
            front = _prefix(chunk, start, end)
            if front and self._is_special(chunk, start + front, end):
                ahead.append((start, start + front))
                return start + front, end, ahead, behind
            back = _suffix(chunk, start + front, end)
            if back and self._is_special(chunk, start, end - back):
                behind.append((end - back, end))
                return start, end - back, ahead, behind
            if not front and not back:
                break
            if front:
                ahead.append((start, start + front))
            if back:
                behind.append((end - back, end))
            start, end = start + front, end - back
        return start, end, ahead, behind

    def _inner(self, core: str) -> tuple[str, ...]:
        """Cuts what is left between the ends."""
        if core in self.special:
            return self.special[core]
        if core.isalpha() or _is_address(core, self._address):
            return (core,)
        words = []
        start = 0
        for match in self._infix.finditer(core):
            if match.start() == 0:  # nothing is before it, so it stays with what follows
                continue
            if match.start() > start:
                words.append(core[start : match.start()])
            words.append(match[0])
            start = match.end()
        if start < len(core):
            words.append(core[start:])
        return tuple(words)


@lru_cache(maxsize=1)
def chunker() -> Chunker:
    """Returns the process's chunker with the English exceptions."""
    return Chunker(exceptions())
