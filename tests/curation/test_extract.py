"""The extract stage: limits at their bounds, every fault, and the golden texts of real pages."""

import functools
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import trafilatura
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from curation import extract
from curation.child import Child, Died
from curation.extract import PARSER_DEPTH, Extract
from schemas.records import Body, Document, Fault, Page
from schemas.stage import Opened

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

PROSE = (
    "The mill stands where two brooks meet, and for three hundred years its wheel has turned for whoever had grain.",
    "In spring the miller opens the sluice at dawn; by noon the first sacks of flour are stacked at the western door.",
    "Nobody remembers who laid the great stones, though a date is cut into the lintel and the books name a builder.",
)


def html(*paragraphs: str, head: str = "<title>t</title>") -> str:
    inner = "".join(f"<p>{p}</p>" for p in paragraphs)
    return f"<!DOCTYPE html><html><head>{head}</head><body><article>{inner}</article></body></html>"


def page(content: bytes | str, declared: str = "text/html", **changes: object) -> Page:
    raw = content.encode() if isinstance(content, str) else content
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {declared}\r\n\r\n".encode()
    made = Page(
        id="<urn:1>",
        url="https://a.example/",
        path="a.warc.gz",
        offset=7,
        dump="CC-MAIN-2026-01",
        date="2026-01-01T00:00:00Z",
        body_kind=Body.HTTP,
        body=head + raw,
        digest="sha1:X",
        metadata={"k": 1},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def nested(levels: int) -> str:
    """A page whose deepest element stands at this level, html and body counted."""
    return "<html><body>" + "<div>" * (levels - 2) + PROSE[0]


def elements(count: int) -> str:
    """A page of so many elements, html and body counted."""
    return "<html><body>" + f"<p>{PROSE[0]}</p>" * (count - 2) + "</body></html>"


GOOD = html(*PROSE)
SMALL = Extract(max_bytes=len(GOOD), max_depth=9)
FEW = Extract(max_elements=12, max_attributes=5, max_doctype=20)

CASES: dict[str, tuple[Extract, Page, Fault | None]] = {
    "text_of_a_page": (SMALL, page(GOOD), None),
    "bytes_above": (SMALL, page(GOOD + "\n"), Fault("body_too_large", len(GOOD) + 1, len(GOOD))),
    "elements_at": (FEW, page(elements(12)), None),
    "elements_above": (FEW, page(elements(13)), Fault("too_many_elements", 13, 12)),
    "attributes_at": (FEW, page(GOOD.replace("<p>", "<p a=1 b=2 c=3 d=4 e=5>", 1)), None),
    "attributes_above": (
        FEW,
        page(GOOD.replace("<p>", "<p a=1 b=2 c=3>").replace("<head>", "<head a=1>")),
        Fault("too_many_attributes", 10, 5),
    ),
    "doctype_at": (FEW, page(GOOD.replace("<!DOCTYPE html>", "<!doctype html      >")), None),
    "doctype_above": (
        FEW,
        page(GOOD.replace("<!DOCTYPE html>", "<!doctype html       >")),
        Fault("doctype_too_long", 21, 20),
    ),
    "doctype_without_end": (
        Extract(),
        page("<!DOCTYPE " + "/" * 1_000_000),
        Fault("doctype_too_long", 1_000_010, 4096),
    ),
    "depth_at": (SMALL, page(nested(9)), None),
    "depth_above": (SMALL, page(nested(10)), Fault("too_deep", 10, 9)),
    "depth_at_default": (Extract(), page(nested(250)), None),
    "depth_above_default": (Extract(), page(nested(251)), Fault("too_deep", 251, 250)),
    "depth_at_parser": (Extract(max_depth=255), page(nested(255)), None),
    "depth_above_parser": (Extract(max_depth=255), page(nested(400)), Fault("too_deep", PARSER_DEPTH, 255)),
    "hundred_thousand_divs": (Extract(), page(nested(100_002)), Fault("too_deep", PARSER_DEPTH, 250)),
    "hundred_thousand_bare_divs": (Extract(), page("<div>" * 100_000), Fault("too_deep", PARSER_DEPTH, 250)),
    "hundred_thousand_bs": (Extract(), page("<html><body>" + "<b>x" * 100_000), Fault("too_deep", PARSER_DEPTH, 250)),
    "fifty_megabytes": (Extract(), page("<p>" + "x" * 50_000_000), Fault("body_too_large", 10_000_001, 10_000_000)),
    "length_at": (Extract(min_length=len(PROSE[0])), page(html(PROSE[0])), None),
    "length_above": (
        Extract(min_length=len(PROSE[0]) + 1),
        page(html(PROSE[0])),
        Fault("empty_text", len(PROSE[0]), len(PROSE[0]) + 1),
    ),
    "nothing_in_it": (Extract(), page("<html><body><script>x</script></body></html>"), Fault("empty_text", 0, 1)),
    "no_html": (Extract(), page("{}"), Fault("empty_text", 0, 1)),
    "empty": (Extract(), page(""), Fault("empty_text", 0, 1)),
    "undecodable": (Extract(), page(bytes(range(1, 32)) * 200), Fault("undecodable_bytes")),
    "status": (Extract(), page("", body=b"HTTP/1.1 404 Not Found\r\n\r\n"), Fault("http_status", 404, 200)),
    "no_head": (Extract(), page("", body=b"<html>"), Fault("bad_http_head")),
    "broken_coding": (
        Extract(),
        page("", body=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99)[:-8] + b"\0" * 8),
        Fault("undecodable_body"),
    ),
    "plain_text": (Extract(), page("words", "text/plain"), Fault("content_type")),
    "plain_text_wanted": (Extract(content_types=("text/plain",)), page(PROSE[0], "text/plain"), None),
    "pdf": (Extract(), page("%PDF-1.7", "application/pdf"), Fault("content_type")),
    "resource": (Extract(), page("", body=GOOD.encode(), body_kind=Body.RESOURCE, content_type="text/html"), None),
    "reader_fault": (Extract(), page(GOOD, fault=Fault("truncated_record", 1, 2)), Fault("truncated_record", 1, 2)),
    "text": (Extract(), page("", body=b"<p>as it stands\n", body_kind=Body.TEXT), None),
    "text_not_utf8": (Extract(), page("", body=b"\xff\xfe\xff", body_kind=Body.TEXT), Fault("undecodable_bytes")),
    "text_empty": (Extract(), page("", body=b"", body_kind=Body.TEXT), Fault("empty_text", 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_documents_and_faults(case: str) -> None:
    stage, given_page, expected = CASES[case]
    got = stage.extract(given_page)
    assert got == expected if expected else isinstance(got, Document)


def test_every_reason_is_tested() -> None:
    tested = {fault.reason for _, _, fault in CASES.values() if fault} - {"truncated_record"}
    assert tested | {"extractor_error"} == set(Extract.reasons)


def test_a_document_has_all_that_its_page_had() -> None:
    document = Document(
        text="\n".join(PROSE),
        id="<urn:1>",
        url="https://a.example/",
        path="a.warc.gz",
        offset=7,
        dump="CC-MAIN-2026-01",
        date="2026-01-01T00:00:00Z",
        digest="sha1:X",
        metadata={"k": 1},
    )
    assert Extract().extract(page(GOOD)) == document
    text = page("", body=b"  <p>as it stands\n ", body_kind=Body.TEXT)
    assert Extract().extract(text) == replace(document, text="  <p>as it stands\n ")


def test_the_work_in_two_halves() -> None:
    opened = Extract().open(page(html(*PROSE, head="<title>The mill</title>")))
    assert isinstance(opened, Opened)
    assert opened.cheap_text is not None
    assert opened.cheap_text() == " ".join(("The mill", *PROSE))
    assert opened.document() == Extract().extract(page(GOOD))


UNCHEAP = {
    "text": page("", body=b"as it stands", body_kind=Body.TEXT),
    "plain": page("as it stands", "text/plain"),
    "no_html": page("{}"),
}


@pytest.mark.parametrize("case", UNCHEAP)
def test_no_cheap_text_where_the_text_is_no_dearer(case: str) -> None:
    opened = Extract(content_types=("text/html", "text/plain")).open(UNCHEAP[case])
    assert isinstance(opened, Opened)
    assert opened.cheap_text is None


def test_limits_come_before_the_cheap_text() -> None:
    for stage, given_page, fault in CASES.values():
        opened = stage.open(given_page)
        late = fault is not None and fault.reason in ("empty_text", "extractor_error")
        assert opened == fault if fault and not late else isinstance(opened, Opened)


def test_a_cheap_text_that_cannot_be_had_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tree: object) -> str:
        raise AssertionError("invalid UTF-8 in a tree")

    monkeypatch.setattr(extract, "cheap_text", fail)
    opened = Extract().open(page(GOOD))
    assert isinstance(opened, Opened)
    assert opened.cheap_text is not None
    assert opened.cheap_text() == ""


ENCODINGS = {
    "header": ("text/html; charset=euc-kr", html("빵과 서커스, " * 20), "euc-kr"),
    "meta": ("text/html", html("パンとサーカス。" * 20, head='<meta charset="shift_jis">'), "shift_jis"),
    "latin": ("text/html; charset=iso-8859-1", html("“Müller” – Brötchen… " * 20), "cp1252"),
    "utf16": ("text/html", "\ufeff" + html("Bread and circuses. " * 20), "utf-16-le"),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_encodings(case: str) -> None:
    content_type, source, codec = ENCODINGS[case]
    given_page = page(source.encode(codec), content_type)
    got, opened = Extract().extract(given_page), Extract().open(given_page)
    assert isinstance(got, Document)
    assert isinstance(opened, Opened)
    assert opened.cheap_text is not None
    assert opened.cheap_text().removeprefix("t ") == " ".join(got.text.split())
    assert got.text == source.split("<p>")[1].split("</p>")[0].strip()


def test_a_text_depends_on_its_page_alone() -> None:
    """trafilatura's own cache drops a segment that it saw in three pages before."""
    alone = Extract().extract(page(GOOD))
    assert [Extract().extract(page(GOOD)) for _ in range(5)] == [alone] * 5
    options = {"favor_precision": True, "include_comments": False, "deduplicate": True}
    shared = [trafilatura.extract(GOOD, **options) for _ in range(5)]
    assert shared[0] != shared[-1], "trafilatura no longer keeps a cache: the care taken here can go"


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError("deep"), AttributeError("None"), AssertionError()])
def test_what_the_extractor_raises_is_a_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """No page is known that gets trafilatura 2.3 to raise, so it is made to."""

    def fail(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr(extract.trafilatura, "extract", fail)
    assert Extract().extract(page(GOOD)) == Fault("extractor_error")


def test_memory_errors_are_left_to_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> str:
        raise MemoryError

    monkeypatch.setattr(extract.trafilatura, "extract", fail)
    with pytest.raises(MemoryError):
        Extract().extract(page(GOOD))


WRONG = {
    "depth_zero": ({"max_depth": 0}, "max_depth = 0"),
    "depth_of_parser": ({"max_depth": PARSER_DEPTH}, "max_depth = 256"),
    "resiliparse_options": ({"engine": "resiliparse", "deduplicate": False}, "knows neither"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_parameters(case: str) -> None:
    changes, words = WRONG[case]
    if changes.get("engine"):
        pytest.importorskip("resiliparse")
    with pytest.raises(ValueError, match=words):
        Extract(**changes)  # type: ignore[arg-type]


def test_resiliparse() -> None:
    pytest.importorskip("resiliparse")
    stage = Extract(engine="resiliparse")
    got = stage.extract(page(GOOD))
    assert isinstance(got, Document)
    assert [line for line in got.text.split("\n") if line] == list(PROSE)
    assert stage.extract(page(nested(100_000))) == Fault("too_deep", PARSER_DEPTH, 250)
    assert stage.extract(page("")) == Fault("empty_text", 0, 1)
    assert "resiliparse" in stage.libraries()
    assert stage.deviations() == ("the main text is found by resiliparse, not trafilatura",)
    assert Extract().deviations() == ()


def test_resiliparse_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'gristmill\[resiliparse\]'"):
        Extract(engine="resiliparse")


def test_hostile_pages_leave_the_child_alive() -> None:
    """Each ends at a limit, the same on any machine, long before the budgets."""
    hostile = [
        page(nested(100_000)),
        page("<table>" * 100_000),
        page("<p>" + "&" * 1_000_000),
        page("<a href='" + "x" * 1_000_000),
        page("<" * 1_000_000),
        page("<!--" * 200_000),
        page("<html " + " ".join(f"a{i}=1" for i in range(10_000)) + "><p>x"),
        page("<p>" * 100_000),
        page(GOOD),
    ]
    build = functools.partial(getattr, Extract(), "extract")
    with Child(build, memory_bytes=300 << 20, cpu_seconds=30, wall_seconds=120) as child:
        results = [result for _, result in child.map(hostile)]
        assert child.retries == {}
    assert not any(isinstance(result, Died) for result in results)
    assert results[0] == Fault("too_deep", PARSER_DEPTH, 250)
    assert results[7] == Fault("too_many_elements", 100_002, 20_000)
    assert isinstance(results[8], Document)
    assert results == [Extract().extract(p) for p in hostile]


MARKUP = ["<p>", "</p>", "<table>", "<td>", "&#0;", "<svg>", "]]>", "<!--", "\0", "wort ", "글 "]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(MARKUP)))
def test_any_markup_gets_an_answer(parts: list[str]) -> None:
    got = Extract().extract(page("<html><body>" + "".join(parts)))
    assert isinstance(got, Document) or got.reason in Extract.reasons


# Pages whose golden text was decoded by a detector against what page and server declare: windows-1250 and
# windows-1252 taken for their ISO cousins, which loses `ą`, `ś`, `…` and quotation marks.
BETTER_DECODED = (
    "https://wiadomosci.gazeta.pl/wiadomosci/7,114883,27025667,",
    "https://www.die-tagespost.de/leben/glauben-wissen/Warum-wir-jetzt-Demut-brauchen;",
    "https://www.mix1.de/music/leslie-clio/brave-new-woman/",
)


@pytest.mark.parametrize(("folder", "golden"), [("koweb", "fineweb2_ko_verdicts"), ("realweb", "fineweb_verdicts")])
def test_golden_texts(folder: str, golden: str) -> None:
    """Real pages' texts by trafilatura 2.3.1 with FineWeb's settings, equal to the character."""
    if not SHARED.is_dir():
        pytest.skip("the real pages are not part of the project")
    with gzip.open(SHARED / folder / f"{golden}.jsonl.gz") as lines:
        texts = {row["url"]: row["text"] or "" for row in map(json.loads, lines)}
    stage, compared = Extract(), 0
    for path in sorted((SHARED / folder).glob("*0.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, no_record_parse=True):
                if record.rec_type != "response":
                    continue
                url = record.rec_headers.get_header("WARC-Target-URI")
                got = stage.extract(page("", url=url, body=record.raw_stream.read()))
                text = got.text if isinstance(got, Document) else ""
                assert text == texts[url] or url.startswith(BETTER_DECODED), url
                compared += 1
    assert compared > 100
