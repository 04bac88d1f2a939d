"""The tally: any split and order of the same pages gives the same one, and its size is bounded."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sketches import CLUSTER_SIZES, LENGTHS, SCORES, HeavyHitters, Histogram
from curation.tally import DOMAINS, EXCERPT, LARGEST_CLUSTERS, Example, Tally, domain_of
from schemas.records import Document

REASONS = [("read", "not_text"), ("gopher_quality", "too_few_words"), ("minhash", "near_duplicate")]


@dataclass(frozen=True)
class Fate:
    """A page and what became of it; `why` is None where it was kept."""

    doc: Document
    why: tuple[str, str] | None
    value: float


def add(tally: Tally, fate: Fate) -> None:
    if fate.why is None:
        tally.add_kept(fate.doc)
        return
    tally.add_dropped(
        *fate.why,
        id=fate.doc.id,
        url=fate.doc.url,
        language=fate.doc.language,
        text=fate.doc.text,
        characters=len(fate.doc.text),
        value=fate.value,
        threshold=5,
        language_score=fate.doc.language_score,
        quality_score=fate.doc.quality_score,
        cluster_size=fate.doc.cluster_size,
    )


def tally_of(fates: list[Fate], seed: int = 7) -> Tally:
    tally = Tally(seed=seed)
    for fate in fates:
        add(tally, fate)
    return tally


def as_bytes(tally: Tally) -> bytes:
    return json.dumps(tally.to_json(), allow_nan=False, ensure_ascii=False).encode()


DOCUMENTS = st.builds(
    Document,
    text=st.text(max_size=20),
    id=st.text(max_size=3),
    url=st.sampled_from(["https://a.example.org/x", "http://b.example.org", "http://[bad/", "javascript:alert(1)", ""]),
    language=st.sampled_from(["", "eng_Latn", "kor_Hang"]),
    language_score=st.floats(0, 1),
    token_count=st.integers(0, 10**7),
    quality_score=st.none() | st.floats(),
    cluster_size=st.integers(1, 5000),
)
FATES = st.builds(Fate, doc=DOCUMENTS, why=st.none() | st.sampled_from(REASONS), value=st.floats())


@settings(max_examples=150, deadline=None)
@given(fates=st.lists(FATES, max_size=25), data=st.data())
def test_any_split_and_order_of_pages_gives_the_same_tally(fates: list[Fate], data: st.DataObject) -> None:
    whole = as_bytes(tally_of(fates))
    shuffled = data.draw(st.permutations(fates))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(fates)), max_size=4)))
    bounds = [0, *cuts, len(fates)]
    parts = [tally_of(shuffled[a:b]) for a, b in pairwise(bounds)]
    written = [json.loads(as_bytes(part)) for part in parts]

    left = Tally.merged(map(Tally.from_json, written), seed=7)
    right = Tally.from_json(written[-1])
    for part in reversed(written[:-1]):
        first = Tally.from_json(part)
        first.merge(right)
        right = first

    assert as_bytes(left) == whole
    assert as_bytes(right) == whole
    assert left.pages == left.kept + left.dropped == len(fates)


@given(fates=st.lists(FATES, max_size=10))
def test_json_round_trip(fates: list[Fate]) -> None:
    tally = tally_of(fates)
    assert as_bytes(Tally.from_json(json.loads(as_bytes(tally)))) == as_bytes(tally)


def test_a_kept_page_is_counted_with_its_columns() -> None:
    doc = Document(
        text="가" * 1000,
        id="a",
        url="https://ko.example.com/",
        language="kor_Hang",
        language_score=0.99,
        token_count=1300,
        quality_score=0.5,
        cluster_size=3,
    )
    tally = tally_of([Fate(doc, None, 0)])
    assert (tally.pages, tally.kept, tally.dropped, tally.characters, tally.tokens) == (1, 1, 0, 1000, 1300)
    filled = {
        name: [h.edges[i] for i, n in enumerate(h.counts) if n] for name, h in tally.histograms.items() if h.total
    }
    assert filled == {
        "characters_kept": [1000],
        "tokens_kept": [1250],
        "language_score_kept": [0.98],
        "quality_score_kept": [0.5],
        "cluster_size": [3],
    }
    assert {name: h.counts for name, h in tally.hitters.items()} == {
        "domains_kept": {"example.com": 1},
        "domains_seen": {"example.com": 1},
        "languages_kept": {"kor_Hang": 1},
        "languages_seen": {"kor_Hang": 1},
    }
    text = "가" * EXCERPT
    assert tally.shown == {("", ""): [Example("a", "https://ko.example.com/", "kor_Hang", None, None, text)]}
    assert tally.clusters == [Example("a", "https://ko.example.com/", "kor_Hang", 3.0, None, text)]


def test_a_dropped_page_is_counted_by_stage_and_reason() -> None:
    tally = Tally()
    tally.add_dropped("read", "not_text", id="b", url="http://x.example.org/", value=math.nan, threshold=math.inf)
    assert (tally.pages, tally.kept, tally.dropped) == (1, 0, 1)
    assert tally.dropped_by == {"read": {"not_text": 1}}
    assert [name for name, h in tally.histograms.items() if h.total] == []
    assert tally.shown == {("read", "not_text"): [Example("b", "http://x.example.org/", "", None, None, "")]}


@pytest.mark.parametrize(("k", "shown"), [(0, 0), (1, 1), (3, 3), (50, 20)])
def test_examples_are_the_k_smallest_hashes(k: int, shown: int) -> None:
    tally = Tally(examples=k)
    other = Tally(examples=k)
    for i in range(20):
        for t, n in ((tally, i), (other, 19 - i)):
            t.add_dropped("c4", "curly_bracket", id=f"id{n}", url="", value=1, threshold=0)
    assert tally.shown == other.shown
    assert len(tally.shown[("c4", "curly_bracket")]) == shown


def test_another_seed_shows_other_examples() -> None:
    fates = [Fate(Document(text="t", id=str(i)), None, 0) for i in range(100)]
    first, second = (tally_of(fates, seed).shown[("", "")] for seed in (0, -1))
    assert first != second


def test_only_wanted_texts_are_needed() -> None:
    lazy, whole = Tally(), Tally()
    texts = 0
    for i in range(1000):
        page = partial(dict, id=str(i), url="", value=1, threshold=0, characters=9000)
        wanted = lazy.wants("c4", "lorem_ipsum", str(i))
        texts += wanted
        lazy.add_dropped("c4", "lorem_ipsum", **page(text=f"text {i}" if wanted else ""))
        whole.add_dropped("c4", "lorem_ipsum", **page(text=f"text {i}"))
    assert as_bytes(lazy) == as_bytes(whole)
    assert 3 <= texts < 40


def test_largest_clusters_stay() -> None:
    tally = Tally()
    for size in range(1, 100):
        doc = Document(text="t", id=str(size), cluster_size=size)
        add(tally, Fate(doc, None if size % 2 else REASONS[1], 0))
    assert [c.value for c in tally.clusters] == list(range(99, 99 - LARGEST_CLUSTERS, -1))
    assert tally.histograms["cluster_size"].total == 98  # a page alone is no cluster


def test_size_is_bounded_whatever_the_number_of_pages() -> None:
    def size(pages: int) -> int:
        tally = Tally()
        for i in range(pages):
            doc = Document(text="가" * 500, id=str(i), url=f"http://h{i:06}.com/{'x' * 60}", language=f"x{i:06}")
            add(tally, Fate(doc, REASONS[i % 3], 1))
        return len(as_bytes(tally))

    full, twice = size(8_000), size(16_000)
    assert twice < full * 1.02
    assert twice < 200_000


def test_tallies_of_other_samples_do_not_merge() -> None:
    with pytest.raises(ValueError, match="seed 1 with 3 examples"):
        Tally(seed=1).merge(Tally(seed=2))
    with pytest.raises(ValueError, match="format 99"):
        Tally.from_json({"format": 99})


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://a.b.Example.co.kr/x?y", "example.co.kr"),
        ("http://blog.naver.com:8080", "naver.com"),
        ("https://user:pw@sub.example.org/", "example.org"),
        ("http://192.168.0.1/x", "192.168.0.1"),
        ("http://[::1]:80/", "::1"),
        ("http://localhost/", "localhost"),
        ("http://example.com./", "example.com"),
        ("http://[bad/", ""),
        ("javascript:alert(1)", ""),
        ("not a url", ""),
        ("", ""),
        ("http://" + "a" * 5000 + ".com/", "a" * 253),
        ("http://\ud800.com/", "?.com"),
    ],
)
def test_domain_of(url: str, domain: str) -> None:
    assert domain_of(url) == domain


@given(st.text())
def test_domain_of_answers_for_any_string(text: str) -> None:
    assert len(domain_of(f"http://{text}")) <= 400


@pytest.mark.parametrize(
    ("edges", "value", "low"),
    [
        (LENGTHS, -1, 0),
        (LENGTHS, 0, 0),
        (LENGTHS, 99, 80),
        (LENGTHS, 100, 100),
        (LENGTHS, 124, 100),
        (LENGTHS, 125, 125),
        (LENGTHS, 10**12, 10**9),
        (SCORES, 0.0, 0.0),
        (SCORES, 0.65, 0.64),
        (SCORES, 0.66, 0.66),
        (SCORES, 1.0, 0.98),
        (SCORES, math.inf, 0.98),
        (CLUSTER_SIZES, 2, 2),
        (CLUSTER_SIZES, 9, 5),
        (CLUSTER_SIZES, 10, 10),
    ],
)
def test_histogram_bins(edges: tuple[float, ...], value: float, low: float) -> None:
    histogram = Histogram(edges=edges)
    histogram.add(value)
    assert edges[histogram.counts.index(1)] == low
    assert list(edges) == sorted(set(edges))


def test_histogram_quantiles() -> None:
    histogram = Histogram(edges=(0, 10, 20))
    assert histogram.quantile(0.5) is None
    for value in (5, 5, 15, 15):
        histogram.add(value)
    assert [histogram.quantile(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 5, 10, 15, 20]
    histogram.add(1000)
    assert histogram.quantile(1) == 30  # the last bin is told as wide as the one before
    with pytest.raises(ValueError, match="3 bins cannot hold 4"):
        Histogram.from_json([1, 2, 3, 4], (0, 10, 20))


KEYS = st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=120)


@given(tasks=st.lists(KEYS, min_size=1, max_size=5))
def test_heavy_hitters_keep_their_error_bound(tasks: list[list[str]]) -> None:
    capacity = 3
    total = HeavyHitters(capacity=capacity)
    for keys in tasks:
        task = HeavyHitters(capacity=capacity)
        for key in keys:
            task.add(key)
        total.merge(HeavyHitters.from_json(task.to_json(), capacity))
    written = total.to_json()
    truth = Counter(key for keys in tasks for key in keys)
    assert len(written["counts"]) <= capacity
    assert written["error"] * (capacity + 1) <= truth.total()
    for key, count in truth.items():
        assert count - written["error"] <= written["counts"].get(key, 0) <= count


def test_heavy_hitters_are_exact_up_to_their_capacity() -> None:
    hitters = HeavyHitters(capacity=DOMAINS)
    list(map(partial(hitters.add, times=2), map(str, range(DOMAINS))))
    assert hitters.to_json()["error"] == 0
    assert set(hitters.to_json()["counts"].values()) == {2}
    assert hitters.top(2) == [("0", 2), ("1", 2)]
