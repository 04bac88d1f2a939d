"""Exact duplicates by what a page's head tells: its URL, or the digest of its payload. Neither needs the text.

A key is 64 bits of XXH3 over the scope's values and the URL or digest. Among n documents of one run about
n^2 / 2^65 pairs share a key by chance: 0.03 pairs among a thousand million.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from dedup.keepers import KEEPERS
from dedup.scope import Scope, prefix
from dedup.urls import normalise_url
from schemas.records import Document
from schemas.stage import Dedup

_NONE = np.empty(0, np.uint64)

KeepUnread = Literal["first", "oldest"]
"""The policies that need no text."""


def _key(doc: Document, scope: tuple[Scope, ...], value: str) -> NDArray[np.uint64]:
    content = prefix(doc, scope) + value.encode("utf-8", "surrogatepass")
    return np.array([xxhash.xxh3_64_intdigest(content)], np.uint64)


@dataclass(frozen=True, kw_only=True)
class UrlDedup(Dedup):
    """Keeps one page a URL, in the spelling of `dedup.urls`. A page without a URL is nobody's duplicate.

    Deviations from datatrove's UrlDedup: that compares URLs as they are written, hashed to 64 bits as here.
    """

    reasons: ClassVar[tuple[str, ...]] = ("duplicate_url",)
    needs_text: ClassVar[bool] = False
    scope: tuple[Scope, ...] = ()
    keep: KeepUnread = "first"

    def keys(self, doc: Document) -> NDArray[np.uint64]:
        """One key, shape (1,), or none, shape (0,)."""
        url = normalise_url(doc.url)
        return _key(doc, self.scope, url) if url else _NONE

    def priority(self, doc: Document) -> int:
        """See `dedup.keepers`."""
        return KEEPERS[self.keep](doc)


@dataclass(frozen=True, kw_only=True)
class DigestDedup(Dedup):
    """Keeps one page a payload, by WARC-Payload-Digest (`sha1:` and base32). Without one: nobody's duplicate.

    The digest is compared as it is written, the algorithm's name in any case. It covers the payload as the server
    sent it, so equal pages under different content encodings are not found.
    """

    reasons: ClassVar[tuple[str, ...]] = ("duplicate_digest",)
    needs_text: ClassVar[bool] = False
    scope: tuple[Scope, ...] = ()
    keep: KeepUnread = "first"

    def keys(self, doc: Document) -> NDArray[np.uint64]:
        """One key, shape (1,), or none, shape (0,)."""
        algorithm, colon, value = doc.digest.strip().rpartition(":")
        return _key(doc, self.scope, f"{algorithm.lower()}{colon}{value}") if value else _NONE

    def priority(self, doc: Document) -> int:
        """See `dedup.keepers`."""
        return KEEPERS[self.keep](doc)
