"""What the sample consists of: how many pages of each kind, and who makes them."""

import dataclasses
import itertools
from functools import partial
from typing import Protocol

from service.sample import articles, broken, junk
from service.sample.draft import NO_HTML, Draft, Planted, Studio
from service.sample.prose import Text
from service.sample.warc import DAMAGES, FALSE_LENGTHS

REFERENCE = 2_000
"""The number of pages for which `PARTS` is written; other sizes keep its shares, and at least one page a kind."""


def _mixed_languages(studio: Studio, count: int) -> list[Draft]:
    """Half in one language, half in another."""
    drafts = []
    for number in range(count):
        host, text = studio.article("en")
        other = studio.prose.column("fr" if number % 2 else "de", 10)
        both = Text("en", text.title, (*text.sections[:1], *other.sections))
        drafts.append(studio.page(host, both, Planted(kind="mixed_languages")))
    return drafts


def _damaged(studio: Studio, count: int) -> list[Draft]:
    """Good articles in records that are not: a wrong checksum, broken deflate, false lengths."""
    names = (*DAMAGES, *FALSE_LENGTHS)
    drafts = []
    for number in range(count):
        host, text = studio.article("en")
        name = names[number % len(names)]
        draft = studio.page(host, text, Planted(kind="damaged", stages=NO_HTML, defects=(name,)))
        drafts.append(dataclasses.replace(draft, damage=name, coding=""))
    return drafts


def _truncated(studio: Studio, count: int) -> list[Draft]:
    """Pages that the crawler cut off, and says so."""
    drafts = []
    for _ in range(count):
        host, text = studio.article("en")
        draft = studio.page(host, text, Planted(kind="truncated", defects=("truncated_payload",)))
        half = draft.payload[: len(draft.payload) * 2 // 3]
        drafts.append(dataclasses.replace(draft, payload=half, truncated="length", coding="", phrase=""))
    return drafts


class Maker(Protocol):
    """Makes `count` pages of a kind."""

    def __call__(self, studio: Studio, /, count: int) -> list[Draft]: ...


_OTHERS = ("de", "fr", "es", "ja", "zh", "ru")
PARTS: tuple[tuple[str, int, Maker], ...] = (
    ("articles_en", 0, partial(articles.articles, language="en")),
    ("articles_ko", 190, partial(articles.articles, language="ko")),
    *((f"articles_{code}", 46, partial(articles.articles, language=code)) for code in _OTHERS),
    ("families_en", 130, partial(articles.families, language="en")),
    ("families_ko", 44, partial(articles.families, language="ko")),
    ("families_ja", 6, partial(articles.families, language="ja")),
    ("exact_copies", 50, articles.exact_copies),
    ("url_variants", 32, articles.url_variants),
    ("threads", 40, articles.threads),
    ("adult", 40, articles.adult),
    ("archives", 110, junk.archives),
    ("stubs", 90, junk.stubs),
    ("keyword_spam", 45, junk.keyword_spam),
    ("phrase_spam", 40, junk.phrase_spam),
    ("lorem", 14, junk.lorem),
    ("code", 24, junk.code),
    ("script_warnings", 20, junk.script_warnings),
    ("policies", 16, junk.policies),
    ("listings", 130, junk.listings),
    ("mixed_languages", 12, _mixed_languages),
    ("broken_html", 34, broken.broken_html),
    ("empty", 12, broken.empty),
    ("huge", 1, broken.huge),
    ("nested", 1, broken.nested),
    ("documents", 12, broken.documents),
    ("images", 30, broken.images),
    ("data", 28, broken.data),
    ("redirects", 40, broken.redirects),
    ("not_found", 30, broken.not_found),
    ("truncated", 4, _truncated),
    ("damaged", 8, _damaged),
)
"""(part, its pages among `REFERENCE`, who makes them). English articles (0) fill up what is left."""

LEAST = {"damaged": 4, "empty": 3, "exact_copies": 2, "url_variants": 4, "families_en": 3, "families_ko": 2,
         "listings": len(junk.SHAPES), "adult": len(articles.ADULT_URLS), "broken_html": 5,
         "articles_ko": 20}  # fmt: skip
"""Parts that want more than one page to show what they are."""
FEWEST_ARTICLES = 10

SINGLE = ("huge", "nested")
"""Parts that do not grow with the sample."""


def counts(pages: int) -> dict[str, int]:
    """Pages of each part of a sample of `pages` pages.

    Raises:
        ValueError: fewer pages than one of each kind needs.
    """
    found = _shares(pages)
    if found["articles_en"] < FEWEST_ARTICLES:
        least = next(n for n in itertools.count(pages) if _shares(n)["articles_en"] >= FEWEST_ARTICLES)
        raise ValueError(f"a sample of {pages!r} pages cannot hold every kind: ask for {least!r} or more")
    return found


def _shares(pages: int) -> dict[str, int]:
    found = {
        name: share if name in SINGLE else max(LEAST.get(name, 1), round(share * pages / REFERENCE))
        for name, share, _ in PARTS
    }
    found["articles_en"] = pages - sum(count for name, count in found.items() if name != "articles_en")
    return found


def drafts(studio: Studio, pages: int) -> list[Draft]:
    """All pages, part by part."""
    number = counts(pages)
    made = [draft for name, _, make in PARTS for draft in make(studio, count=number[name])]
    assert len(made) == pages, f"the parts made {len(made)!r} pages of {pages!r}"
    return made
