"""The extract stage: a page's bytes to the main text of a document."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import trafilatura
from lxml import etree
from trafilatura.deduplication import LRUCache
from trafilatura.settings import LRU_SIZE

from curation import http
from curation.cheap_text import cheap_text
from curation.from_page import as_document
from curation.http import Payload, payload
from schemas import stage
from schemas.records import Body, Document, Fault, Page
from schemas.stage import Opened
from text.encoding import decode

PARSER_DEPTH = 256
"""libxml2's HTML parser opens no element deeper than this and says nothing: such a tree is a torso."""

_ELEMENTS = etree.XPath("count(//*)")
_ATTRIBUTES = etree.XPath("count(//@*)")


@dataclass(frozen=True, kw_only=True)
class Extract(stage.Extract):
    """Finds the main text by trafilatura with FineWeb's settings, or by resiliparse.

    Reference: datatrove 0.10 `Trafilatura` (favor_precision, no comments, deduplicate) behind `WarcReader`, which keeps
    HTML and XHTML only. A page's text depends on that page alone: trafilatura's cache of segments seen, which is
    otherwise one a process, is new for each page. Input that already is text passes untouched.

    Deviations: datatrove gives a page 1 s of wall time and drops it silently; here limits that any machine finds the
    same come first (bytes, elements, attributes, depth), sized so that what passes them takes seconds (20,000 elements
    took 1 to 26), and the CPU budget of the child process is a backstop. Encodings follow the head's and the page's own
    declarations, see `text.encoding`.

    Faults: `bad_http_head`, `http_status`, `body_too_large`, `undecodable_body` and `content_type` of `curation.http`;
    `undecodable_bytes` (no encoding fits), `doctype_too_long`, `too_many_elements`, `too_many_attributes`, `too_deep`
    (value: as parsed, at most 256), `extractor_error`, `empty_text` (value: characters).
    """

    version: ClassVar[int] = 1
    opens: ClassVar[bool] = True
    reasons: ClassVar[tuple[str, ...]] = (
        *http.REASONS,
        "undecodable_bytes",
        "doctype_too_long",
        "too_many_elements",
        "too_many_attributes",
        "too_deep",
        "extractor_error",
        "empty_text",
    )

    engine: Literal["trafilatura", "resiliparse"] = "trafilatura"
    favour_precision: bool = True
    deduplicate: bool = True
    include_comments: bool = False
    content_types: tuple[str, ...] = http.HTML_TYPES
    """`text/plain` may be added; such a page's text is taken as it stands."""
    max_bytes: int = 10_000_000
    max_elements: int = 20_000
    max_attributes: int = 50_000
    """Of all elements together; on one alone they cost quadratic time, 50,000 of them 11 s."""
    max_doctype: int = 4096
    """Characters; trafilatura looks at a doctype in quadratic time."""
    max_depth: int = 250
    min_length: int = 1
    """Characters of text."""

    def __post_init__(self) -> None:
        """Refuses what can't be met.

        Raises:
          ValueError: the depth is beyond the parser's, the engine is not installed, or it does not know an option.
        """
        if not 1 <= self.max_depth < PARSER_DEPTH:
            raise ValueError(f"max_depth = {self.max_depth!r}: 1 to {PARSER_DEPTH - 1}, the parser goes no deeper")
        if self.engine != "resiliparse":
            return
        if find_spec("resiliparse") is None:
            raise ValueError("engine = 'resiliparse' is an extra: pip install 'gristmill[resiliparse]'")
        if not (self.favour_precision and self.deduplicate):
            raise ValueError("favour_precision and deduplicate are trafilatura's: engine = 'resiliparse' knows neither")

    def libraries(self) -> tuple[str, ...]:
        """The engine, what it stands on (trafilatura's parser call serves both), and what undoes encodings."""
        engines = ("trafilatura", "justext") if self.engine == "trafilatura" else ("trafilatura", self.engine)
        return (*engines, "brotli", "charset-normalizer", "lxml", "warcio", "webencodings", "zstandard")

    def deviations(self) -> tuple[str, ...]:
        """Another engine than FineWeb's."""
        return ("the main text is found by resiliparse, not trafilatura",) if self.engine == "resiliparse" else ()

    def extract(self, page: Page) -> Document | Fault:
        """The document, or why there is none. Never raises for what a page holds."""
        opened = self.open(page)
        return opened if isinstance(opened, Fault) else opened.document()

    def open(self, page: Page) -> Opened | Fault:
        """The page within the limits, decoded and, if it is HTML, parsed."""
        if page.fault is not None:
            return page.fault
        if page.body_kind is Body.TEXT:
            return self._as_it_stands(page)
        found = payload(page, self.max_bytes, types=self.content_types)
        if isinstance(found, Fault):
            return found
        source = _decoded(found)
        if isinstance(source, Fault):
            return source
        if found.content_type == http.TEXT_TYPE:
            return Opened(partial(self._document, page, source))
        return self._parsed(page, source)

    def _as_it_stands(self, page: Page) -> Opened | Fault:
        try:
            return Opened(partial(self._document, page, page.body.decode("utf-8")))
        except UnicodeDecodeError:
            return Fault("undecodable_bytes")

    def _parsed(self, page: Page, source: str) -> Opened | Fault:
        doctype = _doctype_length(source)
        if doctype > self.max_doctype:
            return Fault("doctype_too_long", doctype, self.max_doctype)
        try:
            tree = trafilatura.load_html(source)
            fault = self._beyond_limits(trafilatura.load_html(f"<html>{source}") if tree is None else tree)
        except _PAGE_ERRORS:
            return Fault("extractor_error")
        if fault is not None:
            return fault
        if tree is None:  # no page, says trafilatura, by its lack of `html` at the start
            return Opened(partial(self._document, page, ""))
        return Opened(partial(self._main_text, page, tree, source), partial(_cheap_text, tree))

    def _main_text(self, page: Page, tree: Any, source: str) -> Document | Fault:
        try:
            text = self._engines()[self.engine](tree, source) or ""
        except _PAGE_ERRORS:
            return Fault("extractor_error")
        return self._document(page, text)

    def _document(self, page: Page, text: str) -> Document | Fault:
        if len(text) < self.min_length:
            return Fault("empty_text", len(text), self.min_length)
        return replace(as_document(page), text=text)

    def _beyond_limits(self, tree: Any) -> Fault | None:
        if tree is None:
            return None
        elements, attributes = int(_ELEMENTS(tree)), int(_ATTRIBUTES(tree))
        if elements > self.max_elements:
            return Fault("too_many_elements", elements, self.max_elements)
        if attributes > self.max_attributes:
            return Fault("too_many_attributes", attributes, self.max_attributes)
        if _deeper_than(self.max_depth)(tree):
            return Fault("too_deep", depth(tree), self.max_depth)
        return None

    def _engines(self) -> dict[str, Callable[[Any, str], str | None]]:
        return {"trafilatura": self._by_trafilatura, "resiliparse": self._by_resiliparse}

    def _by_trafilatura(self, tree: Any, _source: str) -> str | None:
        text: str | None = trafilatura.extract(
            tree,
            favor_precision=self.favour_precision,
            include_comments=self.include_comments,
            deduplicate=LRUCache(LRU_SIZE) if self.deduplicate else False,
        )
        return text

    def _by_resiliparse(self, _tree: Any, source: str) -> str | None:
        text: str = _resiliparse()(source, main_content=True, comments=self.include_comments, alt_texts=False)
        return text.strip()


_PAGE_ERRORS = (
    etree.LxmlError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What trafilatura and lxml raise on hostile pages: none of it is worth a run. MemoryError is the child's affair."""


def depth(tree: Any) -> int:
    """How many elements stand inside each other at most, the root included."""
    deepest = level = 0
    for event, _ in etree.iterwalk(tree.getroottree(), events=("start", "end")):
        level += 1 if event == "start" else -1
        deepest = max(deepest, level)
    return deepest


@functools.cache
def _deeper_than(levels: int) -> Callable[[Any], bool]:
    """An XPath that walks the tree in C: 40 µs a page, where `depth` takes 800."""
    path: Callable[[Any], bool] = etree.XPath(f"boolean({'/*' * (levels + 1)})")
    return path


def _doctype_length(source: str) -> int:
    """Characters before the first `>` of a page that begins with a doctype, 0 for others."""
    if "doctype" not in source[:50].lower():  # as trafilatura asks
        return 0
    end = source.find(">")
    return len(source) if end < 0 else end


def _cheap_text(tree: Any) -> str:
    try:
        return cheap_text(tree)
    except _PAGE_ERRORS:
        return ""


def _decoded(found: Payload) -> str | Fault:
    source = decode(found.body, found.charset, html=found.content_type != http.TEXT_TYPE)
    return Fault("undecodable_bytes") if source is None else source


@functools.cache
def _resiliparse() -> Callable[..., str]:
    """Resiliparse's extractor, imported here since it is an extra."""
    from resiliparse.extract.html2text import extract_plain_text

    found: Callable[..., str] = extract_plain_text
    return found
