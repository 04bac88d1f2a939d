"""Drops pages by their address: block lists of domains and URLs, and words in the URL."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import ahocorasick

from curation.rules.blocklist import HashedLines, alphanumerics, parts, read_words
from curation.rules.hosts import host_of, split_host
from schemas.records import Document, Measurement
from schemas.stage import Rule

__all__ = ["UrlFilter"]

_BLANK = re.compile(r"[\s\x00-\x1f]")
"""What no host can hold."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """What `setup` loaded."""

    domains: tuple[HashedLines, ...]
    urls: tuple[HashedLines, ...]
    words: frozenset[str]
    soft_words: frozenset[str]
    subwords: ahocorasick.Automaton | None


@dataclass(frozen=True, kw_only=True)
class UrlFilter(Rule):
    """FineWeb's URL filter (Penedo et al. 2024, arXiv 2406.17557, section 3.1; lists of RefinedWeb, arXiv 2306.01116).

    In this order, as datatrove 0.10.1's `URLFilter`: the registered domain is in a domain list; the full host is; the
    URL is in a URL list, exactly; a banned word is among the URL's parts (split at all but ASCII letters and digits,
    compared with their case); more than `max_soft_words` different soft words are; a banned subword occurs anywhere in
    the URL's lower-cased letters and digits.

    Each list is named as the registry of `storage` knows it, or by the path of a file: one entry a line, `#` begins a
    comment. `folders` names UT1-format folders, whose files `domains` and `urls` are both read.

    Deviations: a page without a URL, or whose URL has no host, is a loss (`invalid_url`; `require_url=False` keeps
    it) where datatrove stops with an assertion. Public suffixes come from the copy of the list in `tld`, not in
    `tldextract`. Domain and URL lists are kept as 64-bit hashes (`HashedLines`). `thorough` finds what datatrove never
    does: hosts without a public suffix in domain lists (UT1 has 6,390 IP addresses), hosts in capitals, and URLs listed
    without their scheme, which is how UT1 lists all of its 19,586.
    """

    needs_text: ClassVar[bool] = False
    version: ClassVar[int] = 2
    reasons: ClassVar[tuple[str, ...]] = (
        "invalid_url",
        "banned_domain",
        "banned_subdomain",
        "banned_url",
        "banned_word",
        "soft_banned_words",
        "banned_subword",
    )
    domains: tuple[str, ...] = ("ut1_domains",)
    urls: tuple[str, ...] = ("ut1_urls",)
    folders: tuple[str, ...] = ()
    words: tuple[str, ...] = ("banned_words",)
    soft_words: tuple[str, ...] = ("soft_banned_words",)
    subwords: tuple[str, ...] = ("banned_subwords",)
    extra_domains: tuple[str, ...] = ()
    """Domains or hosts banned besides those of the lists."""
    max_soft_words: int | None = 1
    require_url: bool = True
    thorough: bool = False
    _lists: _Lists | None = field(default=None, repr=False, compare=False)

    def files(self) -> tuple[str, ...]:
        """All lists, each once."""
        named = (*self._domain_files(), *self._url_files(), *self.words, *self.soft_words, *self.subwords)
        return tuple(dict.fromkeys(named))

    def libraries(self) -> tuple[str, ...]:
        """`tld` brings the Public Suffix List."""
        return ("tld",)

    def deviations(self) -> tuple[str, ...]:
        """Says so where `thorough` is on."""
        if not self.thorough:
            return ()
        return (
            "thorough: finds hosts without a public suffix (IP addresses, localhost) or in capitals, and URLs listed "
            "without a scheme, which FineWeb does not",
        )

    def _domain_files(self) -> tuple[str, ...]:
        return (*self.domains, *(f"{folder.rstrip('/')}/domains" for folder in self.folders))

    def _url_files(self) -> tuple[str, ...]:
        return (*self.urls, *(f"{folder.rstrip('/')}/urls" for folder in self.folders))

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Loads the lists: 40 MB for UT1's, mapped.

        Raises:
          ListError: a list can't be read, or holds an entry that could never match.
        """

        def entries(names: Iterable[str], read: Callable[[Path], Iterator[str]]) -> Iterator[str]:
            return (entry for name in names for entry in read(files[name]))

        loaded = _Lists(
            domains=(
                HashedLines.of(self.extra_domains),
                *(HashedLines.of_file(files[name]) for name in self._domain_files()),
            ),
            urls=tuple(HashedLines.of_file(files[name]) for name in self._url_files()),
            words=frozenset(entries(self.words, read_words)),
            soft_words=frozenset(entries(self.soft_words, read_words)),
            subwords=_automaton(entries(self.subwords, read_words)),
        )
        return replace(self, _lists=loaded)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Counts of what was found, so each threshold but that of soft words is 0 (of `invalid_url`: 1 host)."""
        lists = self._lists
        if lists is None:
            raise RuntimeError(f"url_filter was asked about {doc.url!r} before its lists were loaded; call setup first")
        url = doc.url
        host = host_of(url)
        if self.require_url:
            yield Measurement("invalid_url", float(bool(host) and not _BLANK.search(host)), 1.0, "min")
        domain, full = split_host(host.lower() if self.thorough else host)
        if self.thorough and not full:
            domain = full = host.lower().strip("[]")
        yield _found("banned_domain", bool(domain) and _listed(domain, lists.domains))
        yield _found("banned_subdomain", bool(full) and _listed(full, lists.domains))
        yield _found("banned_url", _listed(url, lists.urls) or (self.thorough and _listed_as_ut1(url, lists.urls)))
        found = parts(url)
        yield _found("banned_word", len(lists.words & found))
        if self.max_soft_words is not None:
            count = len(lists.soft_words & found)
            yield Measurement("soft_banned_words", count, self.max_soft_words, "max")
        yield _found("banned_subword", lists.subwords is not None and _any(lists.subwords, alphanumerics(url)))


def _found(reason: str, count: int) -> Measurement:
    return Measurement(reason, float(count), 0.0, "max")


def _listed(entry: str, lists: tuple[HashedLines, ...]) -> bool:
    return any(entry in listed for listed in lists)


def _listed_as_ut1(url: str, lists: tuple[HashedLines, ...]) -> bool:
    """UT1 writes URLs without scheme and `www.`, and most of them without a closing slash."""
    bare = url.partition("://")[2].removeprefix("www.")
    return _listed(bare, lists) or _listed(bare.rstrip("/"), lists)


def _automaton(subwords: Iterable[str]) -> ahocorasick.Automaton | None:
    """Aho-Corasick over all subwords; None where there are none, since an empty automaton can't search."""
    automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for word in subwords:
        automaton.add_word(word)
    if not len(automaton):
        return None
    automaton.make_automaton()
    return automaton


def _any(automaton: ahocorasick.Automaton, text: str) -> bool:
    return next(automaton.iter(text), None) is not None
