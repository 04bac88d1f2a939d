"""What the built-in crawl plants, the pipelines find."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from classifiers.train import train
from dedup.urls import normalise_url
from service.sample import PlantedPage, read_truth, write_quality_sets
from tests.runs import Finished, Sample, finish

READ = ("read", "child")

KEEP_ALL = (
    "language.min_score=null", "language.languages=[]", "url_filter.enabled=false", "gopher_repetition.enabled=false",
    "gopher_quality.enabled=false", "c4.enabled=false", "fineweb.enabled=false", "sample.rate=0",
)  # fmt: skip
"""Settings of `fineweb` under which every page with a text stays, but for duplicates."""


@pytest.fixture(scope="module")
def everything(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The sample with the rules off."""
    return finish("fineweb", sample, tmp_path_factory.mktemp("all") / "out", *KEEP_ALL)


def by_place(run: Finished, sample: Sample) -> dict[tuple[str, int], dict[str, Any]]:
    """Ledger rows by (path below the sample's folder, offset)."""
    root = run.manifest.inputs_root.removeprefix(f"{sample.folder}/")
    return {(f"{root}{row['path']}", row["offset"]): row for row in run.rows("ledger")}


def planted(run: Finished, sample: Sample) -> Iterator[tuple[PlantedPage, dict[str, Any]]]:
    """Each page of the truth with its ledger row."""
    found = by_place(run, sample)
    for page in sample.truth.pages:
        yield page, found[page.path, page.offset]


def test_the_truth_is_beside_the_crawl(sample: Sample) -> None:
    assert read_truth(sample.folder / "truth.jsonl") == sample.truth


def test_every_page_that_must_fall_falls_where_it_should(fineweb: Finished, sample: Sample) -> None:
    wrong = [
        f"{page.kind} {page.defects} {page.url}: {row['outcome']} {row['stage']}.{row['reason']}, not by {page.stages}"
        for page, row in planted(fineweb, sample)
        if page.stages and row["stage"] not in page.stages
    ]
    assert wrong == []


def test_ids_and_urls_are_the_planted_ones(fineweb: Finished, sample: Sample) -> None:
    rows = [(page, row) for page, row in planted(fineweb, sample) if row["stage"] != "read"]
    assert [page for page, row in rows if (page.id, page.url) != (row["id"], row["url"])] == []


@pytest.mark.parametrize("which", ["fineweb", "everything"])
def test_personal_data_is_gone_and_what_looks_like_it_stays(
    which: str, sample: Sample, request: pytest.FixtureRequest
) -> None:
    run: Finished = request.getfixturevalue(which)
    texts = {row["id"]: row["text"] for row in run.rows("shards")}
    private = [value for page in sample.truth.pages for value in page.pii]
    assert len(private) > 5
    assert [(name, value) for name, text in texts.items() for value in private if value in text] == []
    dropped = [row["text"] for row in run.rows("dropped")]
    assert [value for text in dropped for value in private if value in text] == []
    report = (run.output / "report.html").read_text(encoding="utf-8") + (run.output / "tally.json").read_text()
    assert [value for value in private if value in report] == []
    if which == "everything":
        safe = [(page.id, value) for page in sample.truth.pages if page.id in texts for value in page.safe]
        assert safe != []
        assert [(name, value) for name, value in safe if value not in texts[name]] == []
        cleaned = [name for page in sample.truth.pages if page.pii and (name := page.id) in texts]
        assert len(cleaned) > 1


def test_of_each_family_of_copies_one_stays(everything: Finished, sample: Sample) -> None:
    """Exact copies and URL variants of a page that is kept, together with near-duplicates that are close enough."""
    families: dict[str, list[tuple[PlantedPage, dict[str, Any]]]] = defaultdict(list)
    for page, row in planted(everything, sample):
        exact = page.edit_rate == 0 and page.similarity == 1
        if page.family and exact and row["stage"] not in ("read", "child", "extract"):
            families[page.family].append((page, row))
    copied = {name: members for name, members in families.items() if len(members) > 1}
    assert len(copied) >= 3
    for name, members in copied.items():
        kept = [page.url for page, row in members if row["outcome"] == "kept"]
        assert len(kept) <= 1, (name, kept)
        assert {row["stage"] for _, row in members if row["outcome"] != "kept"} == {"minhash"}, name


def test_of_every_cluster_one_stays(everything: Finished) -> None:
    kept: dict[str, int] = defaultdict(int)
    for row in everything.rows("clusters"):
        kept[row["keeper_id"]] += row["kept"]
    assert len(kept) >= 3
    assert set(kept.values()) == {1}


def test_near_duplicates_are_found_as_their_similarity_says(everything: Finished, sample: Sample) -> None:
    """1 - (1 - s^8)^14 of those at similarity s; none of .9 and more is likely to be missed."""
    first = {page.family: page for page in sample.truth.pages if page.family and page.similarity == 1}
    close = [
        row for page, row in planted(everything, sample)
        if page.kind == "near_duplicate" and page.similarity >= 0.9 and page.family in first
        and row["stage"] not in ("read", "child", "extract")
    ]  # fmt: skip
    assert close != []
    found = [row for row in close if row["stage"] == "minhash"]
    assert len(found) >= len(close) / 2  # the other half may be the keepers


def test_main_texts_are_found_whatever_their_encoding(everything: Finished, sample: Sample) -> None:
    texts = {row["id"]: " ".join(row["text"].split()) for row in everything.rows("shards")}
    with_phrase = [page for page in sample.truth.pages if page.phrase and page.id in texts]
    assert len(with_phrase) > 30
    assert len({page.encoding for page in with_phrase}) > 2
    missing = [(p.url, p.encoding, p.declared, p.defects) for p in with_phrase if p.phrase not in texts[p.id]]
    assert len(missing) <= len(with_phrase) // 50, missing
    assert [page for page in missing if page[1] != "utf-8"] == []


def test_languages_are_those_planted(everything: Finished, sample: Sample) -> None:
    told = {row["id"]: row["language"] for row in everything.rows("shards")}
    codes = {"eng_Latn": "en", "kor_Hang": "ko", "deu_Latn": "de", "fra_Latn": "fr", "spa_Latn": "es", "jpn_Jpan": "ja"}
    pairs = [
        (page.language, told[page.id]) for page in sample.truth.pages
        if page.kind == "article" and page.id in told and page.language in codes
    ]  # fmt: skip
    assert len(pairs) > 20
    wrong = [(planted_, found) for planted_, found in pairs if codes[planted_] != found]
    assert len(wrong) <= len(pairs) // 20, wrong


def test_what_is_no_html_never_becomes_text(everything: Finished, sample: Sample) -> None:
    kinds = {"pdf", "image", "json", "feed", "style", "redirect", "not_found", "nested_warc"}
    fates = {(page.kind, row["stage"]) for page, row in planted(everything, sample) if page.kind in kinds}
    assert len(fates) > 5
    assert {stage for _, stage in fates} == {"extract"}


@pytest.fixture(scope="module")
def demo(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo's own pipeline, every stage on, with a classifier trained as the demo trains it."""
    folder = tmp_path_factory.mktemp("demo")
    good, bad = write_quality_sets(folder, count=120)
    train([str(good)], [str(bad)], folder / "quality.bin")
    return finish("sample", sample, folder / "out", f"quality.model={folder / 'quality.bin'}")


def test_the_demo_drops_all_that_was_promised(demo: Finished, sample: Sample) -> None:
    kept = [
        f"{page.kind} {page.defects} {page.url}"
        for page, row in planted(demo, sample)
        if page.stages and row["outcome"] == "kept"
    ]
    assert kept == []
    assert demo.manifest.counts.kept > len(sample.truth.pages) / 5
    assert len({row["language"] for row in demo.rows("shards")}) >= 6


def test_of_two_spellings_of_a_url_the_demo_keeps_one(demo: Finished, sample: Sample) -> None:
    fates: dict[str, list[str]] = defaultdict(list)
    for page, row in planted(demo, sample):
        if page.kind == "url_variant":
            fates[normalise_url(page.url)].append(row["reason"] or "")
    twice = {normalise_url(page.url) for page in sample.truth.pages if "respelled_url" in page.defects}
    assert len(twice) > 0
    fallen = {url: reasons.count("duplicate_url") for url, reasons in fates.items()}
    assert fallen == {url: url in twice for url in fates}


def test_the_demo_s_classifier_scores_every_kept_page(demo: Finished) -> None:
    scores = [row["quality_score"] for row in demo.rows("shards")]
    assert all(0 <= score <= 1 for score in scores)
    assert len({round(score, 3) for score in scores}) > 10
