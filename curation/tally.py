"""The tally: what a report needs to know of the pages, small enough to travel with every task's marker.

A task adds each page once, when its fate is known: the sift that drops it, or publish, which also adds what dedup
decided. Merging is associative and commutative, and any split of the same pages into tasks gives the same merged
tally, with one exception: the counts of domains (and of languages, should an input bring thousands of labels) are
exact only up to `DOMAINS` (`LANGUAGES`) distinct ones. Beyond that they are lower bounds whose error the tally states,
and they may differ with the split; for a given list of tasks they are always the same.

Examples are a bottom-k sample: the k pages with the smallest hash of (seed, id), which no split or order can change.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import tld
import xxhash

from curation.sketches import CLUSTER_SIZES, LENGTHS, SCORES, HeavyHitters, Histogram
from schemas.records import Document

FORMAT = 1
DOMAINS = 1_000
LANGUAGES = 2_500
LARGEST_CLUSTERS = 5
EXCERPT = 400
"""Characters of a page's text that an example shows."""

_ID = 200
"""Characters of an id that count."""

_HISTOGRAMS: dict[str, tuple[float, ...]] = {
    "characters_kept": LENGTHS,
    "characters_dropped": LENGTHS,
    "tokens_kept": LENGTHS,
    "language_score_kept": SCORES,
    "language_score_dropped": SCORES,
    "quality_score_kept": SCORES,
    "quality_score_dropped": SCORES,
    "cluster_size": CLUSTER_SIZES,
}
_HITTERS: dict[str, int] = {
    "languages_kept": LANGUAGES,
    "languages_seen": LANGUAGES,
    "domains_kept": DOMAINS,
    "domains_seen": DOMAINS,
}


class Example(NamedTuple):
    """A page shown in the report; `value` and `threshold` are None where they are not finite numbers.

    Of a duplicate cluster it is the page that stood for it, and `value` is the cluster's size.
    """

    id: str
    url: str
    language: str
    value: float | None
    threshold: float | None
    text: str


@dataclass(kw_only=True)
class Tally:
    """Counts, histograms, top domains and examples of any number of pages. See the module.

    Its size is bounded by the recipe (stages x reasons x examples), never by the pages: stage and reason names must be
    the declared ones.
    """

    seed: int = 0
    examples: int = 3
    """How many examples a reason keeps."""
    pages: int = 0
    kept: int = 0
    characters: int = 0
    """Of kept pages, as is `tokens`."""
    tokens: int = 0
    dropped_by: dict[str, dict[str, int]] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    hitters: dict[str, HeavyHitters] = field(default_factory=dict)
    shown: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    """(stage, reason) -> examples; under ("", "") those of kept pages."""
    clusters: list[Example] = field(default_factory=list)
    """The largest duplicate clusters, largest first."""

    def __post_init__(self) -> None:
        """Gives every histogram and every list of top keys its place."""
        for name, edges in _HISTOGRAMS.items():
            self.histograms.setdefault(name, Histogram(edges=edges))
        for name, capacity in _HITTERS.items():
            self.hitters.setdefault(name, HeavyHitters(capacity=capacity))

    @property
    def dropped(self) -> int:
        """Pages dropped, for whatever reason."""
        return sum(count for reasons in self.dropped_by.values() for count in reasons.values())

    def add_kept(self, doc: Document) -> None:
        """Counts a published document, with the columns that it was published with."""
        self.pages += 1
        self.kept += 1
        self.characters += len(doc.text)
        self.tokens += doc.token_count
        self.histograms["characters_kept"].add(len(doc.text))
        if doc.token_count:
            self.histograms["tokens_kept"].add(doc.token_count)
        self._add_scores("kept", doc.language_score if doc.language else None, doc.quality_score)
        self._add_origin(doc.url, doc.language, kept=True)
        page = Example(doc.id, doc.url, doc.language, None, None, doc.text)
        self._show(("", ""), page)
        self._add_cluster(doc.cluster_size, page)

    def add_dropped(
        self,
        stage: str,
        reason: str,
        *,
        id: str,  # noqa: A002  the column's name
        url: str,
        value: float,
        threshold: float,
        language: str = "",
        text: str = "",
        characters: int = 0,
        language_score: float | None = None,
        quality_score: float | None = None,
        cluster_size: int = 1,
    ) -> None:
        """Counts a dropped page, with what was known of it when it was dropped.

        Args:
          stage: the stage that dropped it, `read` where it never became a document.
          reason: the defect, one of the stage's declared reasons.
          id: the page's id, which decides whether it becomes an example.
          url: the page's address, whatever it holds.
          value: what was measured.
          threshold: what it was measured against.
          language: its label, empty where it is not known.
          text: what an example shows of it, after the PII edit; needed only where `wants` says so.
          characters: the length of its whole text, 0 where it has none yet.
          language_score: the label's score, in [0, 1].
          quality_score: the quality stage's score, in [0, 1].
          cluster_size: members of the duplicate cluster that this page stood for, 1 where it stood for none. A dropped
            duplicate stands for none; a page that survived dedup and was dropped by a later stage may.
        """
        self.pages += 1
        reasons = self.dropped_by.setdefault(stage, {})
        reasons[reason] = reasons.get(reason, 0) + 1
        if characters:
            self.histograms["characters_dropped"].add(characters)
        self._add_scores("dropped", language_score, quality_score)
        self._add_origin(url, language, kept=False)
        page = Example(id, url, language, value, threshold, text)
        self._show((stage, reason), page)
        self._add_cluster(cluster_size, page._replace(text=""))  # whether it was given depends on the split

    def wants(self, stage: str, reason: str, id: str) -> bool:  # noqa: A002
        """Whether a page of this id, dropped so, would be among the examples as they stand: if not, spare its text."""
        return self._admits(self.shown.get((stage, reason), []), Example(id, "", "", None, None, ""))

    def merge(self, other: Self) -> None:
        """Adds another tally to this one.

        Raises:
          ValueError: the other one sampled its examples with another seed or number.
        """
        if (self.seed, self.examples) != (other.seed, other.examples):
            raise ValueError(
                f"tallies of different samples cannot be merged: seed {self.seed!r} with {self.examples!r} examples a "
                f"reason, and seed {other.seed!r} with {other.examples!r}; run the pipeline again with --fresh"
            )
        self.pages += other.pages
        self.kept += other.kept
        self.characters += other.characters
        self.tokens += other.tokens
        for stage, counts in other.dropped_by.items():
            reasons = self.dropped_by.setdefault(stage, {})
            for reason, count in counts.items():
                reasons[reason] = reasons.get(reason, 0) + count
        for name, histogram in other.histograms.items():
            self.histograms[name].merge(histogram)
        for name, hitters in other.hitters.items():
            self.hitters[name].merge(hitters)
        for key, shown in other.shown.items():
            both = self.shown.get(key, []) + shown
            self.shown[key] = sorted(both, key=self._order)[: self.examples]
        self.clusters = sorted(self.clusters + other.clusters, key=self._cluster_order)[:LARGEST_CLUSTERS]

    @classmethod
    def merged(cls, tallies: Iterable[Self], *, seed: int = 0, examples: int = 3) -> Self:
        """One tally of many, merged in the order given (task order, for a reproducible list of domains)."""
        total = cls(seed=seed, examples=examples)
        for tally in tallies:
            total.merge(tally)
        return total

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON values; equal tallies give equal ones, to the order of keys."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "examples": self.examples,
            "pages": self.pages,
            "kept": self.kept,
            "characters": self.characters,
            "tokens": self.tokens,
            "dropped_by": {stage: dict(sorted(counts.items())) for stage, counts in sorted(self.dropped_by.items())},
            "histograms": {name: self.histograms[name].to_json() for name in _HISTOGRAMS},
            "hitters": {name: self.hitters[name].to_json() for name in _HITTERS},
            "shown": [[stage, reason, [list(e) for e in es]] for (stage, reason), es in sorted(self.shown.items())],
            "clusters": [list(example) for example in self.clusters],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The tally that `to_json` wrote.

        Raises:
          ValueError: it was written in another format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(
                f"a tally of format {data.get('format')!r} cannot be read, only {FORMAT}; "
                f"run the pipeline again with --fresh"
            )
        return cls(
            **{name: data[name] for name in ("seed", "examples", "pages", "kept", "characters", "tokens")},
            dropped_by={stage: dict(counts) for stage, counts in data["dropped_by"].items()},
            histograms={n: Histogram.from_json(data["histograms"][n], edges) for n, edges in _HISTOGRAMS.items()},
            hitters={n: HeavyHitters.from_json(data["hitters"][n], capacity) for n, capacity in _HITTERS.items()},
            shown={(stage, reason): [Example(*e) for e in es] for stage, reason, es in data["shown"]},
            clusters=[Example(*e) for e in data["clusters"]],
        )

    def _add_scores(self, outcome: str, language_score: float | None, quality_score: float | None) -> None:
        for name, score in (("language_score", language_score), ("quality_score", quality_score)):
            if score is not None and not math.isnan(score):
                self.histograms[f"{name}_{outcome}"].add(score)

    def _add_origin(self, url: str, language: str, *, kept: bool) -> None:
        for name, key in (("domains", domain_of(url)), ("languages", _plain(language, 64))):
            if key:
                self.hitters[f"{name}_seen"].add(key)
                if kept:
                    self.hitters[f"{name}_kept"].add(key)

    def _show(self, key: tuple[str, str], page: Example) -> None:
        shown = self.shown.setdefault(key, [])
        if self._admits(shown, page):
            shown.append(_cut(page))
            shown.sort(key=self._order)
            del shown[self.examples :]

    def _admits(self, shown: list[Example], page: Example) -> bool:
        if len(shown) < self.examples:
            return True
        return bool(shown) and self._rank(page) <= self._rank(shown[-1])

    def _add_cluster(self, size: int, page: Example) -> None:
        if size < 2:
            return
        self.histograms["cluster_size"].add(size)
        if len(self.clusters) < LARGEST_CLUSTERS or size >= (self.clusters[-1].value or 0):
            self.clusters.append(_cut(page._replace(value=size, threshold=None)))
            self.clusters.sort(key=self._cluster_order)
            del self.clusters[LARGEST_CLUSTERS:]

    def _rank(self, page: Example) -> int:
        return xxhash.xxh3_64_intdigest(_plain(page.id, _ID).encode(), seed=self.seed % 2**64)

    def _order(self, page: Example) -> tuple[int, tuple[str, ...]]:
        return self._rank(page), tuple(map(str, page))

    def _cluster_order(self, page: Example) -> tuple[float, tuple[int, tuple[str, ...]]]:
        return -(page.value or 0), self._order(page)


def domain_of(url: str) -> str:
    """The registered domain of a URL (`blog.example.co.kr` -> `example.co.kr`), by the public suffix list in `tld`.

    Hosts without one (IP addresses, `localhost`) stand for themselves; a URL without a host gives "".
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return _registered(_plain(host, 253))


@lru_cache(maxsize=65_536)
def _registered(host: str) -> str:
    host = host.strip(".")
    try:
        return str(ip_address(host))
    except ValueError:
        found = tld.get_tld(f"http://{host}/", as_object=True, fail_silently=True) if host else None
        return found.fld if isinstance(found, tld.Result) else host


def _cut(page: Example) -> Example:
    return Example(
        id=_plain(page.id, _ID),
        url=_plain(page.url, 2_000),
        language=_plain(page.language, 64),
        value=_finite(page.value),
        threshold=_finite(page.threshold),
        text=_plain(page.text, EXCERPT),
    )


def _plain(text: str, limit: int) -> str:
    """The text up to `limit` characters, without lone surrogates, which UTF-8 cannot write."""
    return text[:limit].encode("utf-8", "replace").decode()


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
