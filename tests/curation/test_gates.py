"""A gated run beside one without a gate: what it drops, what it says of its loss, and what explain says of a page."""

import gzip
import json
from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest

from curation.driver import run
from curation.explain import measure
from curation.judged import is_sampled
from curation.recipe import load, rebuild, resolve
from service.commands import explain
from storage.errors import RegistryError
from storage.registry import Registry
from tests.runs import IN_MEMORY, Finished, Sample, finish

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
RATE = 0.3


@pytest.fixture(scope="module")
def gated(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The sample's run by `fineweb` with a gate and a large seeded sample."""
    settings = ("language.gate=0.1", f"sample.rate={RATE}")
    return finish("fineweb", sample, tmp_path_factory.mktemp("gated") / "out", *settings)


def fates(finished: Finished) -> dict[str, str]:
    """Place -> what became of the page."""
    return {f"{r['path']}@{r['offset']}": r["stage"] or "kept" for r in finished.rows("ledger")}


def test_every_row_of_a_gate_names_it(gated: Finished, fineweb: Finished) -> None:
    rows = gated.rows("ledger")
    cut = [row for row in rows if row["gate"] is not None]
    assert len(cut) > 10
    assert {(r["gate"], r["outcome"], r["stage"], r["reason"], r["threshold"]) for r in cut} == {
        ("language", "dropped", "language", "unlikely_language", 0.1)
    }
    assert all(0 <= row["value"] < 0.1 for row in cut)
    assert not any(is_sampled(RATE, 0, row["id"]) for row in cut)
    assert [r for r in rows if r["reason"] == "unlikely_language" and r["gate"] is None] == []
    assert [r for r in fineweb.rows("ledger") if r["gate"] is not None] == []


def test_what_a_gate_drops_would_not_have_been_kept(gated: Finished, fineweb: Finished) -> None:
    """On these pages; and all others end as they do without it."""
    without, withal = fates(fineweb), fates(gated)
    assert without.keys() == withal.keys()
    cut = {f"{r['path']}@{r['offset']}" for r in gated.rows("ledger") if r["gate"]}
    assert {without[place] for place in cut} <= {"language", "extract"}
    assert {place: fate for place, fate in withal.items() if place not in cut} == {
        place: fate for place, fate in without.items() if place not in cut
    }
    assert [r["text"] for r in gated.rows("shards")] == [r["text"] for r in fineweb.rows("shards")]


def test_the_manifest_says_what_the_sample_says(gated: Finished, fineweb: Finished) -> None:
    """Counted again from ledger and signals."""
    (gate,) = gated.manifest.gates
    assert (gate.stage, gate.reason, gate.threshold) == ("language", "unlikely_language", 0.1)
    kept = {row["id"] for row in gated.rows("ledger") if row["outcome"] == "kept"}
    told = Counter[str]()
    for row in gated.rows("signals"):
        value = row["language.unlikely_language"]
        if row["sampled"] and value is not None:
            told.update(asked=1, failed=value < 0.1, kept=row["id"] in kept, lost=value < 0.1 and row["id"] in kept)
    assert told["failed"] > 5
    assert told["kept"] > 0
    assert gate.sample.model_dump() == {what: told[what] for what in ("asked", "failed", "kept", "lost")}
    assert gate.dropped == sum(row["gate"] is not None for row in gated.rows("ledger"))
    assert gate.dropped == gated.manifest.counts.dropped_by["language"]["unlikely_language"]
    assert fineweb.manifest.gates == ()
    assert "language.unlikely_language" not in fineweb.rows("signals")[0]
    assert any("below 0.1" in words for words in gated.manifest.deviations)
    assert 'id="gates"' in (gated.output / "report.html").read_text(encoding="utf-8")
    assert 'id="gates"' not in (fineweb.output / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("cut", [True, False])
def test_a_page_is_explained_at_its_gate(cut: bool, gated: Finished) -> None:
    """And by everything behind it, whatever it says there."""
    wanted = "unlikely_language" if cut else None
    row = next(r for r in gated.rows("ledger") if r["reason"] == wanted)
    explained = measure(row, gated.manifest, rebuild(gated.manifest))
    named = [entry.stage for entry in explained]
    assert named[:4] == ["url_filter", "language", "extract", "language"]
    assert [entry.gate for entry in explained[:4]] == [False, True, False, False]
    (m,) = explained[1].measured
    assert (m.reason, m.failed, m.threshold) == ("unlikely_language", cut, 0.1)
    assert not cut or m.value == row["value"]


def test_the_command_says_where_a_page_fell(gated: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """And of a sampled one that its gates were open."""
    rows = gated.rows("ledger")
    cut = next(row["id"] for row in rows if row["gate"])
    passed = next(row["id"] for row in rows if row["outcome"] == "kept" and is_sampled(RATE, 0, row["id"]))
    told = {}
    for page_id in (cut, passed):
        explain.main(Namespace(output=str(gated.output), url=page_id))
        told[page_id] = capsys.readouterr().out
        assert any(
            line.split()[:3] == ["language", "(gate)", "unlikely_language"] for line in told[page_id].split("\n")
        )
    assert ", threshold 0.1), at its gate, before its main text was looked for\n" in told[cut]
    assert "of the seeded sample, which passes every gate\n" in told[passed]
    assert "of the seeded sample" not in told[cut]


REAL = {
    "realweb": ("fineweb", "fineweb_verdicts", "en", 132),
    "koweb": ("fineweb2-ko", "fineweb2_ko_verdicts", "ko", 100),
}


@pytest.mark.parametrize("folder", REAL)
def test_nothing_is_lost_of_real_pages_that_datatrove_keeps(folder: str, tmp_path: Path) -> None:
    """Those that datatrove's rules and lid.176 keep, by the golden verdicts; no page is sampled."""
    pytest.importorskip("resiliparse", reason="its texts take a tenth of the time, and the gate comes before either")
    if not SHARED.is_dir():
        pytest.skip("the real pages are not part of the project")
    pipeline, golden, language, count = REAL[folder]
    off = ("url_filter", "minhash", "gopher_repetition", "gopher_quality", "fineweb")
    settings = [*(f"{name}.enabled=false" for name in off), "sample.rate=0", "extract.engine=resiliparse"]
    recipe = resolve(*load(pipeline), [*settings, "language.gate=0.1"])
    try:
        Registry().resolve("lid176")
    except RegistryError as error:
        pytest.skip(f"no lid.176.ftz: {str(error).splitlines()[0]}")
    done = Finished(tmp_path, run(recipe, [f"{SHARED}/{folder}/*.warc.gz"], tmp_path, options=IN_MEMORY))
    with gzip.open(SHARED / folder / f"{golden}.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    kept = {
        r["url"] for r in rows if r["text"] and r["language"] == language and r["language_score"] >= 0.65
        and set(r["verdicts"].values()) == {"keep"}
    }  # fmt: skip
    assert len(kept) == count
    cut = {row["url"] for row in done.rows("ledger") if row["gate"]}
    assert cut & kept == set()
    assert len(cut) > 0.01 * len(rows)
