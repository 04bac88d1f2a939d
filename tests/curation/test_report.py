"""The report: says what the tally and manifest hold, is inert whatever pages hold, and costs what it shows."""

import re
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from curation.report import numbers, plots, render
from curation.report.inert import link, one_line, visible
from curation.report.languages import language_name, language_tag
from curation.report.words import WORDS, Language, Words
from curation.sketches import SCORES, Histogram
from curation.tally import Tally
from schemas.manifest import Counts, FileEntry, GateEntry, GateSample, InputEntry, Manifest, StageEntry
from schemas.records import Document

STAGES = ("url_filter", "url_dedup", "language", "gopher_quality", "minhash", "pii")
LOSSES = {
    "language": {"wrong_language": 40},
    "gopher_quality": {"too_few_words": 30, "words_too_long": 2},
    "minhash": {"near_duplicate": 8},
    "read": {"truncated_record": 5},
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></script><svg onload=alert(1)>",
    "</blockquote></main><iframe srcdoc='<script>1</script>'>",
    "{{ 7 * 7 }}{% for x in y %}",
    "a\u202egnp.exe\u2066\u200f\u061c",
    "\x00\x07\x1b[31m\x7f\x85\u2028\ufeff\U000e0041",
    "\ud800 lone",
    "W" * 5000,
    "e" + "\u0301" * 500,
)
URLS = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//http://x.example",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "//evil.example/x",
    "http://user:pw@bank.example",
    'http://x.example/"onclick="alert(1)',
    "http://x.example/\u202egnp",
    "http://x.example/a\nb",
    "http://[bad/",
    "",
)


def tally_of(losses: dict[str, dict[str, int]], kept: int, texts: tuple[str, ...] = ("Plain text.",)) -> Tally:
    tally = Tally()
    n = 0
    for stage, reasons in losses.items():
        for reason, count in reasons.items():
            for _ in range(count):
                n += 1
                tally.add_dropped(
                    stage,
                    reason,
                    id=f"d{n}",
                    url=f"https://lost{n}.example.org/{stage}/{reason}",
                    value=23,
                    threshold=50,
                    language="kor_Hang",
                    text=f"{texts[n % len(texts)]}",
                    characters=100,
                    language_score=0.4,
                )
    for i in range(kept):
        text = texts[i % len(texts)]
        tally.add_kept(
            Document(
                text=text,
                id=f"k{i}",
                url=f"https://kept{i}.example.com/",
                language="eng_Latn",
                language_score=0.9,
                token_count=12,
                cluster_size=1 + i % 4,
            )
        )
    return tally


def manifest_of(tally: Tally, **changes: object) -> Manifest:
    stages = [StageEntry(name=name, enabled=name != "url_dedup", version=1, params={"min": 0.65}) for name in STAGES]
    fields: dict[str, object] = {
        "gristmill": "0.1.0",
        "pipeline": "fineweb",
        "description": "A run.",
        "language": "",
        "recipe_sha256": "0123456789abcdef" * 4,
        "stages": tuple(stages),
        "publish": {"by": []},
        "sample": {"rate": 0.01},
        "seed": 0,
        "files_used": {"lid.176.ftz": "ab" * 32},
        "libraries": {"trafilatura": "2.3.1"},
        "deviations": ("tokens are estimated",),
        "inputs_root": "/in",
        "inputs": (InputEntry(name="a.warc.gz", path="/in/a", bytes=10, etag="", pages=1, skipped={"request": 7}),),
        "counts": Counts(
            pages=tally.pages,
            kept=tally.kept,
            dropped=tally.dropped,
            dropped_by=tally.dropped_by,
            tokens=tally.tokens,
            characters=tally.characters,
        ),
        "files": (FileEntry(path="shards/part-0.parquet", sha256="cd" * 32, bytes=1_230_000, rows=tally.kept),),
    }
    return Manifest.model_validate(fields | changes)


def page(tally: Tally, language: Language = "en", **changes: object) -> html.HtmlElement:
    return html.document_fromstring(render(manifest_of(tally, **changes), tally, language=language))


def words_of(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def assert_inert(document: str) -> None:
    """No script, no handler, no address that is not plain http(s), nothing that loads."""
    tree = html.document_fromstring(document)
    allowed = {"href": ("#", "http://", "https://"), "style": ("width:", "left:", "flex-grow:", "height:calc(")}
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        assert element.tag not in {"script", "img", "iframe", "object", "embed", "link", "base", "form", "input", "use"}
        for name, value in element.attrib.items():
            assert not name.startswith("on"), (element.tag, name)
            assert name not in {"src", "srcset", "srcdoc", "action", "formaction", "xlink:href", "background"}
            if name in allowed:
                assert value.startswith(allowed[name]), value
    (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    (style,) = tree.xpath("//style")
    assert set(re.findall(r"@import|url\(.[^)]*", style.text)) == {"url(#fade"}
    assert (
        re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]", document) is None
    )
    document.encode()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_pages_hold_is_shown_and_never_obeyed(language: Language) -> None:
    tally = tally_of(LOSSES, 20, HOSTILE)
    for i, url in enumerate(URLS * 5):
        reason = HOSTILE[i % len(HOSTILE)]
        tally.add_dropped(reason, reason, id=f"h{i}", url=url, value=0, threshold=0, language=reason, text=reason)
        tally.add_kept(Document(text=reason, id=f"u{i}", url=url, language=reason, cluster_size=100 + i))
    bad = HOSTILE[1] + HOSTILE[5] + HOSTILE[7]
    document = render(
        manifest_of(
            tally,
            pipeline=bad,
            description=bad,
            deviations=(bad,),
            files_used={bad: bad},
            libraries={bad: bad},
            retries={bad: 1},
            stages=(StageEntry(name=bad, enabled=True, version=1, params={bad: bad, "list": [bad]}),),
            inputs=(InputEntry(name=bad, path=bad, bytes=1, etag="", pages=1, skipped={bad: 1}, error=bad),),
            files=(FileEntry(path=bad, sha256=bad, bytes=1, rows=1),),
            gates=(GateEntry(stage=bad, reason=bad, threshold=0.1, dropped=1, sample=GateSample(asked=1, kept=1)),),
        ),
        tally,
        title=bad,
        language=language,
    )
    assert_inert(document)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert "⟨U+202E⟩" in document
    assert "␀␇␛[31m␡⟨U+0085⟩" in document
    assert "{{ 7 * 7 }}" in document


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters()), st.text(st.characters())), max_size=3))
def test_any_text_and_address_is_inert(pages: list[tuple[str, str]]) -> None:
    tally = Tally()
    for i, (url, text) in enumerate(pages):
        tally.add_dropped("c4", "curly_bracket", id=str(i), url=url, value=1, threshold=0, text=text)
        tally.add_kept(Document(text=text, id=str(i), url=url, language=url))
    assert_inert(render(manifest_of(tally), tally))


def test_every_reason_has_its_count_and_three_examples() -> None:
    tally = tally_of(LOSSES, 15)
    tree = page(tally)
    seen = {}
    for group in tree.xpath("//section[@id='losses']//div[@class='group']"):
        (stage,) = group.xpath("h3/code/text()")
        for reason in group.xpath("details"):
            (name,) = reason.xpath("summary/span[@class='why']/@title")
            seen[stage, name] = int(reason.xpath("summary/span[@class='num']/text()")[0])
            cards = reason.xpath(".//figure")
            assert len(cards) == min(3, seen[stage, name])
            for card in cards:
                assert f"example.org/{stage}/{name}" in words_of(card)
                if stage != "minhash":
                    assert "measured 23, at least 50 required" in words_of(card)
                assert card.xpath("blockquote/text()") == ["Plain text."]
                assert card.xpath("blockquote/@lang") == ["ko-Hang"]
                assert card.xpath("blockquote/@dir") == ["auto"]
    assert seen == {(stage, name): count for stage, reasons in LOSSES.items() for name, count in reasons.items()}


def test_in_is_kept_plus_dropped_down_the_funnel() -> None:
    tally = tally_of(LOSSES, 15)
    tree = page(tally)
    assert "100 pages in = 15 kept + 85 dropped" in words_of(tree.xpath("//header")[0])
    rows = [
        [words_of(cell) for cell in row.xpath("th|td[not(@class='drawing')]")]
        for row in tree.xpath("//table[@class='funnel']/tbody/tr")
    ]
    table = [(row[0].split()[0], *row[1:]) for row in rows]
    assert table == [
        ("Pages", "", "", "100", "100%"),
        ("read", "100", "−5", "95", "95%"),
        ("url_filter", "95", "–", "95", "95%"),
        ("language", "95", "−40", "55", "55%"),
        ("gopher_quality", "55", "−32", "23", "23%"),
        ("minhash", "23", "−8", "15", "15%"),
        ("pii", "15", "–", "15", "15%"),
        ("Kept", "", "−85", "15", "15%"),
    ]
    assert len(tree.xpath("//td[@class='drawing']//path[@class='lost']")) == 4


GATES: dict[str, tuple[GateSample, str]] = {
    "none_lost": (GateSample(asked=900, failed=600, kept=244), "0%, and with 95% confidence at most 1.22%, of the"),
    "one_lost": (GateSample(asked=9, failed=6, kept=2, lost=1), "50%, and with 95% confidence at most 97.5%, of the"),
    "none_kept": (GateSample(asked=9, failed=6), "No page of the sample was kept, so nothing is known of the loss"),
}


@pytest.mark.parametrize("case", GATES)
def test_gates_and_what_they_lose(case: str) -> None:
    sample, words = GATES[case]
    entry = GateEntry(stage="language", reason="unlikely_language", threshold=0.1, dropped=1234, sample=sample)
    tree = page(tally_of(LOSSES, 15), gates=(entry,))
    (section,) = tree.xpath("//section[@id='gates']")
    counts = [words_of(cell) for cell in section.xpath(".//tbody/tr/*")]
    assert counts == ["language", "0.1", "1,234", *map(str, (sample.asked, sample.failed, sample.kept, sample.lost))]
    assert words in words_of(section)
    assert len(tree.xpath("//nav//a[@href='#gates']")) == 1


def test_without_gates_nothing_is_said_of_them() -> None:
    tree = page(tally_of(LOSSES, 15))
    assert tree.xpath("//section[@id='gates']|//a[@href='#gates']") == []


def test_headline_numbers_and_identity() -> None:
    tree = page(tally_of(LOSSES, 15))
    tiles = {
        words_of(tile.find("dt")): [words_of(dd) for dd in tile.findall("dd")] for tile in tree.xpath("//dl[1]/div")
    }
    assert tiles["Pages in"] == ["100", "files: 1"]
    assert tiles["Kept"] == ["15", "15% of pages"]
    assert tiles["Tokens"] == ["180", "12 a page"]
    assert tiles["Duplicates removed"] == ["8", "8% of pages"]
    assert tiles["Shards"] == ["1.23 MB", "files: 1"]
    assert "0123456789abcdef" in words_of(tree.xpath("//dl[@class='identity']")[0])
    assert not tree.xpath("//aside")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("losses", "kept"), [({}, 0), (LOSSES, 0), ({}, 3)])
def test_nothing_in_nothing_kept_nothing_dropped(
    losses: dict[str, dict[str, int]], kept: int, language: Language
) -> None:
    tally = tally_of(losses, kept)
    document = render(manifest_of(tally, inputs=(), files=(), files_used={}, libraries={}), tally, language=language)
    assert_inert(document)
    assert not re.search(r"\bnan\b|\binf\b", document, re.IGNORECASE)


def test_notices_come_first() -> None:
    tally = tally_of(LOSSES, 15)
    broken = InputEntry(name="b.warc.gz", path="/in/b", bytes=1, etag="", pages=0, error="cut at byte 77")
    cut = InputEntry(name="c.gz", path="/in/c", bytes=1, etag="", pages=9, faults={"truncated_record": 1})
    counts = Counts(pages=200, kept=115, dropped=85, dropped_by=LOSSES, tokens=1, characters=1)
    tree = page(tally, inputs=(broken, cut), retries={"kept": 2}, counts=counts)
    (notices,) = tree.xpath("//aside")
    assert [words_of(item) for item in notices.xpath(".//li")] == [
        "Input files that could not be read whole: 2. See Inputs.",
        "The tally counts 100 pages, the manifest 200: examples and charts do not cover every page.",
        "Pages that met a limit of time or memory and were tried again: 2 (kept 2).",
    ]
    inputs = words_of(tree.xpath("//section[@id='inputs']")[0])
    assert "b.warc.gz cut at byte 77" in inputs
    assert "c.gz truncated record: 1" in inputs


def test_charts_carry_their_numbers_as_tables() -> None:
    tree = page(tally_of(LOSSES, 15))
    languages = [words_of(row) for row in tree.xpath("//section[@id='languages']//tbody/tr")]
    assert languages == ["English eng_Latn 15 15 100%", "Korean kor_Hang 0 85 0%"]
    domains = [words_of(row) for row in tree.xpath("//section[@id='domains']//tbody/tr")]
    assert domains == ["example.com 15 15 100%", "example.org 0 85 0%"]
    clusters = [words_of(row) for row in tree.xpath("//section[@id='clusters']//tbody/tr")]
    assert clusters == ["2 4", "3 4", "4 3"]
    scores = [words_of(row) for row in tree.xpath("//section[@id='scores']//tbody/tr")]
    assert scores == ["0.4–0.42 0 85", "0.9–0.92 15 0"]
    assert not tree.xpath("//span[contains(@class,'mark')]")  # a threshold of 50 is off the axis
    lengths = [words_of(row) for row in tree.xpath("//section[@id='lengths']//tbody/tr")]
    assert lengths == ["10–13 15 0", "100–125 0 85", "10–13 15"]
    assert len(tree.xpath("//svg[@role='img'][title and desc]")) == 4  # the funnel and three histograms


def test_a_common_threshold_is_marked() -> None:
    tally = Tally()
    for i in range(9):
        tally.add_dropped("language", "x", id=str(i), url="", value=i / 10, threshold=0.65, language_score=i / 10)
    (mark,) = page(tally).xpath("//span[contains(@class,'mark')]")
    assert words_of(mark) == "threshold 0.65"


def test_size_does_not_grow_with_pages_or_files() -> None:
    def size(pages: int) -> int:
        losses = {stage: dict.fromkeys(reasons, pages) for stage, reasons in LOSSES.items()}
        tally = tally_of(losses, pages)
        files = tuple(FileEntry(path=f"shards/p{i:06}", sha256="0" * 64, bytes=1, rows=1) for i in range(pages))
        inputs = tuple(
            InputEntry(name=f"{i:06}", path="", bytes=1, etag="", pages=1, error="cut off") for i in range(pages)
        )
        return len(render(manifest_of(tally, files=files, inputs=inputs), tally))

    assert size(2_000) < size(200) * 1.05
    assert size(2_000) < 200_000


def test_equal_arguments_give_equal_bytes_and_the_file_is_all_there_is() -> None:
    tally = tally_of(LOSSES, 15)
    again = Tally.from_json(tally.to_json())
    first = render(manifest_of(tally), tally)
    assert render(manifest_of(again), again) == first
    assert render(manifest_of(tally), tally, title="Other") != first


def test_korean_speaks_korean() -> None:
    tree = page(tally_of(LOSSES, 15), language="ko")
    assert tree.get("lang") == "ko"
    assert "입력 100쪽 = 유지 15쪽 + 제외 85쪽" in words_of(tree.xpath("//header")[0])
    assert "너무 적은 낱말" in words_of(tree.xpath("//section[@id='losses']")[0])
    own = words_of(tree.xpath("//nav")[0])
    assert not set(own) & set(string.ascii_letters)


def test_both_languages_have_the_same_words_and_fields() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert WORDS["en"].keys() == WORDS["ko"].keys()
    assert {k: fields(v) for k, v in WORDS["en"].items()} == {k: fields(v) for k, v in WORDS["ko"].items()}
    assert Words("ko").reason("of_their_own") == "of their own"
    with pytest.raises(ValueError, match="'fr'; choose one of en, ko"):
        Words("fr")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain 한국어 日本語\nline", "plain 한국어 日本語\nline"),
        ("a\r\n\r\n \n\nb", "a\n\nb"),
        ("a\tb", "a   b"),
        ("\x00\x1b\x7f\x85\r", "␀␛␡⟨U+0085⟩␍"),
        ("\u202e\u2066\u200b\ufeff", "⟨U+202E⟩⟨U+2066⟩⟨U+200B⟩⟨U+FEFF⟩"),
        ("\U000e0041\uffff", "⟨U+E0041⟩⟨U+FFFF⟩"),
        ("می\u200cخواهم 👩\u200d🌾", "می\u200cخواهم 👩\u200d🌾"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("\ud800", "\ufffd"),
        ("e" + "\u0301" * 9 + "x", "e" + "\u0301" * 4 + "x"),
    ],
)
def test_visible(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(st.characters()))
def test_visible_is_settled_and_one_line_is_one_line(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert len(one_line(text).splitlines()) <= 1


@pytest.mark.parametrize("url", URLS)
def test_no_link_to_what_is_no_plain_web_address(url: str) -> None:
    assert link(url) in ("", 'http://x.example/"onclick="alert(1)')  # the template escapes quotes


@pytest.mark.parametrize("url", ["http://example.org", "https://example.org:8080/a?b=c#d", "HTTPS://EXAMPLE.ORG/"])
def test_link(url: str) -> None:
    assert link(url) == url


@pytest.mark.parametrize(
    ("label", "tag", "english", "korean"),
    [
        ("kor_Hang", "ko-Hang", "Korean", "한국어"),
        ("en", "en", "English", "영어"),
        ("zho_Hans", "zh-Hans", "Chinese", "중국어"),
        ("xyz_Latn", "xyz-Latn", "", ""),
        ('"><b>', "und", "", ""),
        ("", "und", "", ""),
    ],
)
def test_language_labels(label: str, tag: str, english: str, korean: str) -> None:
    assert (language_tag(label), language_name(label, "en"), language_name(label, "ko")) == (tag, english, korean)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.compact(999, "en"), "999"),
        (numbers.compact(999.7, "en"), "1K"),
        (numbers.compact(1_234_567, "en"), "1.23M"),
        (numbers.compact(15e12, "en"), "15T"),
        (numbers.compact(9_999, "ko"), "1만"),
        (numbers.compact(1_234_567, "ko"), "123만"),
        (numbers.compact(450_000_000, "ko"), "4.5억"),
        (numbers.size(0), "0 B"),
        (numbers.size(999), "999 B"),
        (numbers.size(999_999), "1 MB"),
        (numbers.size(1_500), "1.5 KB"),
        (numbers.percent(0, 0), "–"),
        (numbers.percent(0, 9), "0%"),
        (numbers.percent(1, 10_000), "<0.1%"),
        (numbers.percent(9_999, 10_000), ">99.9%"),
        (numbers.percent(1, 3), "33.3%"),
        (numbers.percent(9, 9), "100%"),
        (numbers.measured(50.0), "50"),
        (numbers.measured(0.30000001), "0.3"),
        (numbers.measured(123456.5), "123,456"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(("pages", "dropped"), [(0, []), (10, [0, 10, 0]), (1000, [1, 500, 0, 499])])
def test_funnel_narrows_and_parts_where_pages_are_dropped(pages: int, dropped: list[int]) -> None:
    flow = plots.funnel(pages, dropped)
    assert [bool(path) for path in flow.parted] == [count > 0 for count in dropped]
    assert flow.height == plots.ROW * (len(dropped) + 2)
    widths = [float(step) for step in re.findall(r"H([0-9.]+)", flow.stream)]
    assert all(a >= b for a, b in pairwise(widths))


def test_chart_is_cut_to_the_bins_in_use_and_places_its_ticks() -> None:
    kept, dropped = Histogram(edges=SCORES), Histogram(edges=SCORES)
    assert plots.chart(kept, dropped, [0.5]) is None
    for score in (0.9, 0.95, 1.0, 1.0):
        kept.add(score)
    dropped.add(0.9)
    drawn = plots.chart(kept, dropped, [0.0, 0.9, 1.0])
    assert drawn is not None
    assert [bar.low for bar in drawn.bars] == [0.88, 0.9, 0.92, 0.94, 0.96, 0.98]
    assert [(round(at, 1), value) for at, value in drawn.ticks] == [(16.7, 0.9), (100.0, 1.0)]
    assert drawn.peak == 2
    assert max(bar.kept_height + bar.dropped_height for bar in drawn.bars) == 100
