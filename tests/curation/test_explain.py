"""What became of a page: found by URL or id, read again, measured by every stage."""

from pathlib import Path

import pytest

from curation.child import Died
from curation.driver import run
from curation.explain import MeasureError, NoPageError, clusters_of, find, measure
from curation.inputs import InputsError
from curation.output import Output
from curation.recipe import rebuild
from tests.curation.conftest import Small
from tests.runs import IN_MEMORY, Finished, Sample


def row_of(fineweb: Finished, **wanted: str | None) -> dict[str, object]:
    """The first ledger row with these values."""
    return next(r for r in fineweb.rows("ledger") if all(r[key] == value for key, value in wanted.items()))


def test_found_by_url_or_id(fineweb: Finished) -> None:
    output = Output(str(fineweb.output))
    for row in fineweb.rows("ledger")[::25]:
        if row["url"]:
            assert row in find(output, row["url"])
        assert find(output, row["id"]) == [row]


def test_nobody_of_that_name(fineweb: Finished) -> None:
    with pytest.raises(NoPageError, match=r"has no page with the URL or id 'http://no/'; give it as"):
        find(Output(str(fineweb.output)), "http://no/")


@pytest.mark.parametrize("stage", ["language", "c4"])
def test_the_verdict_is_measured_again(stage: str, fineweb: Finished, sample: Sample) -> None:
    row = row_of(fineweb, stage=stage)
    explained = measure(row, fineweb.manifest, rebuild(fineweb.manifest))
    named = {entry.stage: entry for entry in explained}
    assert list(named) == [e.name for e in fineweb.manifest.stages if e.enabled and e.name != "minhash"]
    first = next(m for entry in explained for m in entry.measured if m.failed)
    assert first in named[stage].measured
    assert (first.reason, first.value, first.threshold) == (row["reason"], row["value"], row["threshold"])
    assert first.margin < 0


def test_a_kept_page_passes_everything(fineweb: Finished) -> None:
    shard = fineweb.rows("shards")[0]
    (row,) = find(Output(str(fineweb.output)), shard["id"])
    explained = measure(row, fineweb.manifest, rebuild(fineweb.manifest))
    assert [m for entry in explained for m in entry.measured if m.failed] == []
    assert explained[-1].characters == len(shard["text"])
    assert explained[-1].language == shard["language"]
    signals = {r["id"]: r for r in fineweb.rows("signals")}[shard["id"]]
    told = {f"{entry.stage}.{m.reason}": m.value for entry in explained for m in entry.measured}
    assert set(told) <= set(signals)
    assert {name: signals[name] for name in told} == pytest.approx(told, rel=1e-6)


@pytest.mark.parametrize("stage", ["extract", "read"])
def test_faults_are_told_again(stage: str, fineweb: Finished) -> None:
    row = row_of(fineweb, stage=stage)
    fault = measure(row, fineweb.manifest, rebuild(fineweb.manifest))[-1].fault
    assert fault is not None
    assert (fault.reason, fault.value, fault.threshold) == (row["reason"], row["value"], row["threshold"])


def test_clusters_of_a_duplicate(fineweb: Finished) -> None:
    row = row_of(fineweb, stage="minhash")
    (member,) = clusters_of(Output(str(fineweb.output)), row)
    assert (member["kept"], member["size"]) == (False, row["value"])


@pytest.mark.parametrize("other", [{"id": "nobody"}, {"path": "another.warc.gz"}, {"offset": 0}])
def test_a_page_that_shares_its_id_is_no_member(other: dict[str, object], fineweb: Finished) -> None:
    row = {**row_of(fineweb, stage="minhash"), **other}
    assert clusters_of(Output(str(fineweb.output)), row) == []


@pytest.fixture
def small_run(small: Small, tmp_path: Path) -> Finished:
    """Documents without an extract stage."""
    settings = ("minhash.enabled=false", "short_texts.enabled=false")
    return Finished(tmp_path / "out", run(small.recipe(*settings), small.inputs, tmp_path / "out", options=IN_MEMORY))


def test_an_input_that_changed(small: Small, small_run: Finished) -> None:
    recipe = rebuild(small_run.manifest, {"short_texts": type(small.recipe().steps[0].stage)})
    row = small_run.rows("ledger")[1]
    assert [entry.stage for entry in measure(row, small_run.manifest, recipe)] == ["pii"]
    (small.folder / "a.jsonl").write_text('{"text": "x"}\n' + " " * 400)
    with pytest.raises(InputsError, match=rf"a\.jsonl' has no page at {row['offset']}: the input changed"):
        measure(row, small_run.manifest, recipe)


def test_a_page_that_kills_its_child(small: Small, small_run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def __enter__(self) -> "Dead":
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing."""

        def map(self, items: list[object]) -> list[tuple[object, Died]]:
            return [(item, Died("timed_out", 60.0, 60.0)) for item in items]

    monkeypatch.setattr("curation.explain.supervised", lambda *_: Dead())
    row = small_run.rows("ledger")[0]
    with pytest.raises(MeasureError, match=r"^the page can't be measured: timed_out \(60, allowed 60\)$"):
        measure(row, small_run.manifest, small.recipe())
