"""The embedded sample: the same bytes each time, every kind there, and the truth true."""

import codecs
import dataclasses
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable
from html import escape
from itertools import combinations
from pathlib import Path

import brotli
import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from service.sample import KINDS, PlantedPage, Truth, read_truth, write_quality_sets, write_sample
from service.sample.articles import ADULT_URLS
from service.sample.block import CODINGS, chunked, http_block
from service.sample.draft import Draft
from service.sample.junk import SHAPES
from service.sample.mix import counts
from service.sample.prose import LANGUAGES, MAX_SIMILARITY, Prose, library_paragraphs, shingles, similarity, topics
from service.sample.warc import DAMAGES, FALSE_LENGTHS, Writer

PAGES = 2000
SMALL = 400


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("sample")
    return folder, write_sample(folder, pages=PAGES)


@pytest.fixture(scope="module")
def members(sample: tuple[Path, Truth]) -> dict[str, bytes]:
    """Record id -> what its gzip member inflates to; sound members only."""
    folder, truth = sample
    files = {name: (folder / name).read_bytes() for name in truth.files}
    sound = (page for page in truth.pages if not set(page.defects) & {*DAMAGES, "cut_record"})
    return {page.id: zlib.decompressobj(31).decompress(files[page.path][page.offset :]) for page in sound}


def _decoded(member: bytes) -> bytes:
    """The body of a response with its codings taken off."""
    block = member.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n\r\n")
    head, _, body = block.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        parts, rest = [], body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            parts.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        body = b"".join(parts)
    for line in head.decode().split("\r\n"):
        if line.startswith("Content-Encoding: "):
            body = UNDO[line.partition(": ")[2]](body)
    return body


UNDO: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write_sample(tmp_path / name, pages=SMALL, seed=seed)
    one, two, other = (_files(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {name for name in one if not name.endswith("warc.paths.gz")}


def test_too_few_pages_are_refused(tmp_path: Path) -> None:
    least = next(pages for pages in range(100, 400) if _enough(pages))
    assert counts(least)["articles_en"] >= 10
    with pytest.raises(ValueError, match=f"{least - 1} pages .* ask for"):
        write_sample(tmp_path, pages=least - 1)
    assert list(tmp_path.iterdir()) == []


def _enough(pages: int) -> bool:
    try:
        counts(pages)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("pages", [SMALL, PAGES, 5000])
def test_counts_add_up(pages: int) -> None:
    found = counts(pages)
    assert sum(found.values()) == pages
    assert min(found.values()) >= 1


def test_truth_is_read_back_as_written(sample: tuple[Path, Truth]) -> None:
    folder, truth = sample
    assert read_truth(folder / "truth.jsonl") == truth
    assert gzip.decompress((folder / truth.paths).read_bytes()).decode().split() == list(truth.files)
    sizes = [(folder / name).stat().st_size for name in truth.files]
    assert min(sizes) > 2 * 1024 * 1024  # so that each is cut into ranges
    assert 8_000_000 < sum(sizes) < 20_000_000


def test_every_kind_and_language_is_there(sample: tuple[Path, Truth]) -> None:
    pages = sample[1].pages
    assert len(pages) == len({page.id for page in pages}) == PAGES
    assert {page.kind for page in pages} == set(KINDS)
    articles = Counter(page.language for page in pages if page.kind == "article")
    assert set(articles) == set(LANGUAGES.values())
    assert articles["kor_Hang"] > 100
    assert {page.coding for page in pages} == {"", "chunked", "gzip", "deflate", "br", "zstd", "gzip, chunked"}
    assert {"euc-kr", "shift_jis", "cp1252", "gb18030", "utf-16", "iso-8859-1"} <= {page.encoding for page in pages}
    records = {"warcinfo": 4, "request": PAGES, "response": PAGES, "metadata": PAGES, "revisit": 28}
    assert sample[1].records == records


def test_every_defect_is_there(sample: tuple[Path, Truth]) -> None:
    defects = {defect for page in sample[1].pages for defect in page.defects}
    assert defects == {
        *SHAPES, *DAMAGES, *FALSE_LENGTHS, "personal_data", "undeclared_encoding", "mislabelled_encoding",
        "unclosed_tags", "nested_tables", "null_bytes", "deep_nesting", "truncated_payload", "cut_record",
        "banned_word", "soft_words", "banned_subword", "listed_domain", "respelled_url",
    }  # fmt: skip


def test_rows_are_in_order_of_path_and_offset(sample: tuple[Path, Truth]) -> None:
    places = [(page.path, page.offset) for page in sample[1].pages]
    assert places == sorted(set(places))


def test_each_record_stands_where_the_truth_says(sample: tuple[Path, Truth], members: dict[str, bytes]) -> None:
    for page in sample[1].pages:
        if page.id in members:
            head = members[page.id].partition(b"\r\n\r\n")[0].decode()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
            assert (fields["WARC-Type"], fields["WARC-Record-ID"], fields["WARC-Target-URI"]) == (
                "response", page.id, page.url)  # fmt: skip
            assert ("WARC-Truncated" in fields) == (page.kind == "truncated")


def test_warcio_reads_a_file_record_by_record() -> None:
    writer = Writer(seed=7)
    writer.warcinfo("x.warc.gz")
    drafts = [
        Draft(kind="article", url=f"https://a.example/{coding}", payload=b"<p>grist</p>" * 900, coding=coding,
              content_type="text/html")
        for coding in ("", "gzip", "deflate", "chunked", "gzip, chunked")
    ]  # fmt: skip
    written = [writer.response(draft) for draft in drafts]
    writer.revisit(drafts[0], written[0][0])
    reader = ArchiveIterator(io.BytesIO(bytes(writer.data)), check_digests="raise")
    seen = []
    for record in reader:
        body = record.content_stream().read()
        if record.rec_type == "response":
            assert body == drafts[0].payload
            assert (record.rec_headers["WARC-Record-ID"], reader.get_record_offset()) in written
        seen.append(record.rec_type)
    assert seen == ["warcinfo", *["request", "response", "metadata"] * 5, "revisit"]


DAMAGE_SHOWS: dict[str, Callable[[bytes], bool]] = {
    "broken_crc": lambda data: "incorrect data check" in _fault(data),
    "broken_deflate": lambda data: _fault(data) != "",
    "length_too_long": lambda data: _length_error(data) == 700,
    "length_too_short": lambda data: _length_error(data) == -300,
}


def _fault(data: bytes) -> str:
    try:
        zlib.decompressobj(31).decompress(data)
    except zlib.error as error:
        return str(error)
    return ""


def _length_error(data: bytes) -> int:
    head, _, block = zlib.decompressobj(31).decompress(data).partition(b"\r\n\r\n")
    told = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
    return int(told[16:]) - len(block.removesuffix(b"\r\n\r\n"))


@pytest.mark.parametrize("damage", [*DAMAGES, *FALSE_LENGTHS])
def test_damage_is_where_it_was_planted(sample: tuple[Path, Truth], damage: str) -> None:
    folder, truth = sample
    pages = [page for page in truth.pages if damage in page.defects]
    assert len(pages) >= 1
    for page in pages:
        assert DAMAGE_SHOWS[damage]((folder / page.path).read_bytes()[page.offset :]) is True


def test_the_last_file_is_cut_inside_its_last_page(sample: tuple[Path, Truth]) -> None:
    folder, truth = sample
    last = truth.pages[-1]
    stream = zlib.decompressobj(31)
    stream.decompress((folder / truth.files[-1]).read_bytes()[last.offset :])
    assert "cut_record" in last.defects
    assert stream.eof is False


def test_the_nested_archive_lies_across_the_middle(sample: tuple[Path, Truth], members: dict[str, bytes]) -> None:
    folder, truth = sample
    (page,) = (page for page in truth.pages if page.kind == "nested_warc")
    body = _decoded(members[page.id])
    stored = (folder / page.path).read_bytes()
    middle = len(stored) // 2
    assert page.offset < middle < page.offset + len(body)
    assert stored.find(b"\x1f\x8b\x08", middle, page.offset + len(body)) > 0
    inner = [record.rec_type for record in ArchiveIterator(io.BytesIO(body))]
    assert Counter(inner) == {"warcinfo": 1, "request": 40, "response": 40, "metadata": 40}


def test_pages_hold_what_the_truth_promises(sample: tuple[Path, Truth], members: dict[str, bytes]) -> None:
    checked = 0
    for page in sample[1].pages:
        if page.phrase and page.id in members and not set(page.defects) & set(FALSE_LENGTHS):
            text = _decoded(members[page.id]).decode(page.encoding)
            written = escape(page.phrase, quote=False).encode(page.encoding, "xmlcharrefreplace").decode(page.encoding)
            assert written in text, page.url
            assert all(string in text for string in (*page.pii, *page.safe)), page.url
            checked += 1
    assert checked > 1200
    assert sum(bool(page.pii) for page in sample[1].pages) > 50


def test_labels_of_encodings(sample: tuple[Path, Truth], members: dict[str, bytes]) -> None:
    for page in (page for page in sample[1].pages if page.kind == "article"):
        head = members[page.id].partition(b"Content-Type: text/html")[2].split(b"\r\n")[0]
        if "undeclared_encoding" in page.defects:
            assert (page.declared, head) == ("", b"")
            assert b"charset=" not in _decoded(members[page.id])
        elif "mislabelled_encoding" in page.defects:
            assert codecs.lookup(page.declared) != codecs.lookup(page.encoding)
        else:
            names = {codecs.lookup(page.declared).name, codecs.lookup(page.encoding).name}
            assert len(names) == 1 or names == {"iso8859-1", "cp1252"}


def _families(pages: tuple[PlantedPage, ...], kind: str) -> dict[str, list[PlantedPage]]:
    found: dict[str, list[PlantedPage]] = {}
    for page in pages:
        if page.kind == kind:
            found.setdefault(page.family, []).append(page)
    return found


def test_copies_are_copies(sample: tuple[Path, Truth], members: dict[str, bytes]) -> None:
    for kind, size in (("exact_copy", 2), ("url_variant", 4)):
        families = _families(sample[1].pages, kind)
        assert {len(pages) for pages in families.values()} == {size}
        for pages in families.values():
            assert len({page.url for page in pages}) == size
            assert len({_decoded(members[page.id]) for page in pages if page.id in members}) == 1


def test_near_duplicates_differ_as_told(sample: tuple[Path, Truth]) -> None:
    families = _families(sample[1].pages, "near_duplicate")
    assert len(families) > 30
    for pages in families.values():
        assert len(pages) >= 2
        assert max(page.similarity for page in pages) == 1.0
    rates: dict[float, list[float]] = {}
    for page in (page for pages in families.values() for page in pages):
        rates.setdefault(page.edit_rate, []).append(page.similarity)
    means = [sum(rates[rate]) / len(rates[rate]) for rate in sorted(rates)]
    assert means == sorted(means, reverse=True)
    assert means[0] == 1.0
    assert means[-1] < 0.4


@pytest.mark.parametrize("language", LANGUAGES)
def test_documents_are_no_near_duplicates_of_each_other(language: str) -> None:
    prose = Prose(3, library_paragraphs())
    sets = [shingles(prose.document(language).paragraphs, language) for _ in range(60)]
    assert max(similarity(one, other) for one, other in combinations(sets, 2)) < MAX_SIMILARITY
    assert min(len(grams) for grams in sets) > 80


def test_english_paragraphs_read_as_prose() -> None:
    library = library_paragraphs()
    assert len(library) > 1000
    assert len({paragraph.text for paragraph in library}) == len(library)
    assert [p.text for p in library if "{" in p.text or p.text[-1] not in ".!?" or "  " in p.text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_own_texts_are_whole_sentences(language: str) -> None:
    found = topics(language)
    assert len(found) >= 6
    for topic in found:
        assert len(topic.titles) >= 2
        assert [line for line in topic.sentences if line[-1] not in ".。" or line.count("{") != line.count("}")] == []


PARTICLES = {"을": 1, "를": 0, "이": 1, "가": 0, "은": 1, "는": 0, "과": 1, "와": 0}


def test_korean_slots_agree_with_their_particles() -> None:
    """A particle after a slot follows the final consonant, or its absence, of each alternative."""
    wrong = []
    for topic in topics("ko"):
        for line in topic.sentences:
            for slot in line.split("{")[1:]:
                options, _, rest = slot.partition("}")
                particle = rest[:1] if rest[1:2] in (" ", ",", ".") else ""
                if particle in PARTICLES:
                    finals = {(ord(option[-1]) - 0xAC00) % 28 > 0 for option in options.split("|")}
                    wrong += [(line, options)] if finals != {bool(PARTICLES[particle])} else []
    assert wrong == []


def test_adult_urls_come_in_turn(sample: tuple[Path, Truth]) -> None:
    adult = [page for page in sample[1].pages if page.kind == "adult"]
    assert {page.stages for page in adult} == {("url_filter",)}
    assert {page.url[:-3] for page in adult} == {base for base, _ in ADULT_URLS}


CHUNKED = {"nothing": (b"", b"0\r\n\r\n"), "a_word": (b"grist", b"5\r\ngrist\r\n0\r\n\r\n")}


@pytest.mark.parametrize("case", CHUNKED)
def test_chunked(case: str) -> None:
    body, expected = CHUNKED[case]
    assert chunked(body) == expected


@pytest.mark.parametrize("coding", ["", *CODINGS, "chunked", "gzip, chunked"])
def test_codings_undo(coding: str) -> None:
    draft = Draft(kind="article", url="https://a.example/", payload=b"<p>meal</p>" * 2000, content_type="text/html")
    block, payload = http_block(dataclasses.replace(draft, coding=coding), "2026-11-07T00:11:22Z")
    assert block.endswith(payload)
    assert _decoded(b"WARC\r\n\r\n" + block + b"\r\n\r\n") == draft.payload


def test_quality_sets_share_nothing_with_the_crawl(tmp_path: Path, sample: tuple[Path, Truth]) -> None:
    paths = write_quality_sets(tmp_path / "one", count=60)
    again = write_quality_sets(tmp_path / "two", count=60)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    good, bad = ([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths)
    assert len(good) == len(bad) == len({row["text"] for row in good}) == 60
    assert {row["language"] for row in good} == set(LANGUAGES.values())
    phrases = {page.phrase for page in sample[1].pages}
    lines = {line for row in good if row["language"] == "eng_Latn" for line in row["text"].splitlines()}
    assert lines & phrases == set()
    assert lines <= {paragraph.text for paragraph in library_paragraphs()}
