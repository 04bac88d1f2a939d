"""A page before it is stored, and the studio in which pages are made."""

import dataclasses
import random
import re
from urllib.parse import quote

from service.sample import hosts, layout
from service.sample.hosts import Host
from service.sample.prose import LANGUAGES, Prose, Text

SHORT_TEXT = ("extract", "language", "gopher_repetition", "gopher_quality", "c4", "fineweb")
"""Any of these may be the first to drop a page that has next to no text."""
NO_HTML = ("read", "extract")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A response to be written, and what is planted in it. Fields shared with `PlantedPage` are described there."""

    kind: str
    url: str
    payload: bytes
    content_type: str
    """Value of the Content-Type header."""
    server: str = "nginx"
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    coding: str = ""
    truncated: str = ""
    """Value of WARC-Truncated; empty for none."""
    damage: str = ""
    """Key of `service.sample.warc.DAMAGES`; empty for none."""
    language: str = ""
    encoding: str = "utf-8"
    declared: str = ""
    defects: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    family: str = ""
    edit_rate: float = 0.0
    similarity: float = 1.0
    pii: tuple[str, ...] = ()
    safe: tuple[str, ...] = ()
    phrase: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """What a page is besides its text."""

    kind: str
    stages: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    family: str = ""
    edit_rate: float = 0.0
    similarity: float = 1.0
    pii: tuple[str, ...] = ()
    safe: tuple[str, ...] = ()
    url: str = ""
    """In place of the one that the host would give it."""
    label: str = "right"
    """How the charset is announced: `right`, `missing`, or a wrong name."""
    language: str = ""
    """Label of its language where it is not the text's own."""


class Studio:
    """Dresses texts as pages of a host. Holds the state that pages share: counters, titles to link to, the prose."""

    def __init__(self, seed: int, prose: Prose) -> None:
        self.rng = random.Random(f"studio {seed}")
        self.prose = prose
        self._made = 0
        self._titles: dict[str, list[tuple[str, str]]] = {}

    def article(self, language: str) -> tuple[Host, Text]:
        """A new text and a site for it."""
        sites = hosts.ARTICLES[language]
        if language == "en" and self.rng.random() < 0.3:
            return hosts.GAZETTE, self.prose.essay()
        return self.rng.choice(sites), self.prose.document(language)

    def page(self, host: Host, text: Text, planted: Planted, main: str = "") -> Draft:
        """The page of `text` on `host`; `main` (HTML) replaces the text's own paragraphs where it is given."""
        path = self._path(host, text.title)
        content = self._content(host, text, planted, main or layout.paragraphs(text.sections))
        body = layout.render(host, content)
        declared = {"right": host.charset, "missing": ""}.get(planted.label, planted.label)
        header = declared if declared and self.rng.random() < 0.7 else ""
        if not content.charset and declared:
            header = declared
        labels = {"right": (), "missing": ("undeclared_encoding",)}.get(planted.label, ("mislabelled_encoding",))
        self._titles.setdefault(host.name, []).append((path, text.title))
        return Draft(
            kind=planted.kind,
            url=planted.url or f"{host.scheme}://{host.name}{path}",
            payload=body.encode(host.encoding, errors="xmlcharrefreplace"),
            content_type=f"text/html; charset={header}" if header else "text/html",
            server=host.server,
            coding=self._coding(),
            language=planted.language or LANGUAGES.get(text.language, ""),
            encoding=host.encoding,
            declared=declared,
            defects=(*planted.defects, *labels),
            stages=planted.stages,
            family=planted.family,
            edit_rate=planted.edit_rate,
            similarity=planted.similarity,
            pii=planted.pii,
            safe=planted.safe,
            phrase="" if main else max(text.paragraphs, key=len, default=""),
        )

    def _content(self, host: Host, text: Text, planted: Planted, main: str) -> layout.Content:
        rng = self.rng
        others = self._titles.get(host.name, [])
        chrome = hosts.CHROME[host.language]
        comments = tuple(self.prose.sentence(host.language) for _ in range(rng.choice((0, 0, 2, 3, 5))))
        meta = {"right": host.charset if rng.random() < 0.8 else "", "missing": ""}.get(planted.label, planted.label)
        return layout.Content(
            title=text.title,
            main=main,
            author=rng.choice(chrome.names),
            date=f"20{rng.randint(19, 26)}-{rng.randint(1, 10):02d}-{rng.randint(1, 28):02d}",
            comments=comments if host.layout in ("blog", "news") else (),
            related=tuple(rng.sample(others, min(len(others), rng.randint(3, 7)))),
            placeholder=layout.placeholder(rng, rng.randint(900, 2600)) if host.layout in ("blog", "news") else b"",
            charset=meta,
        )

    def _path(self, host: Host, title: str) -> str:
        self._made += 1
        number = 10_000 + self._made * 7
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or quote(title.replace(" ", "-"))
        return {
            "blog": f"/2026/{number % 10 + 1:02d}/{slug}-{number}/",
            "news": f"/story/{number}/{slug}",
            "docs": f"/en/latest/{slug}-{number}.html",
            "wiki": f"/wiki/{slug.capitalize()}_{number}",
            "table": f"/art/{number}.htm",
            "plain": f"/posts/{number}-{slug}.html",
            "forum": f"/viewtopic.php?f={number % 9}&t={number}",
        }[host.layout]

    def _coding(self) -> str:
        """Mostly none, as Common Crawl stores pages; now and then what the server sent."""
        kinds = ("", "chunked", "gzip", "deflate", "br", "zstd", "gzip, chunked")
        return self.rng.choices(kinds, weights=(72, 8, 8, 3, 4, 3, 2))[0]
