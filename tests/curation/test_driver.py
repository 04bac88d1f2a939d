"""Whole runs: nothing is lost, bytes are always the same, a run goes on where it was."""

import dataclasses
import hashlib
import inspect
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import polars
import pyarrow.parquet as pq
import pytest

import curation
from curation import driver, parts
from curation.driver import Inputs, Options, run
from curation.inputs import resolve as resolve_inputs
from curation.ledger import LedgerError
from curation.output import Output, OutputError
from curation.phases import RunFailedError
from curation.plan import plan
from curation.progress import Beat, Quiet
from curation.readers import open_task
from curation.recipe import RecipeError, load, resolve
from schemas.manifest import Manifest
from schemas.recipe import PipelineSpec
from schemas.tables import CLUSTERS, DROPPED_TEXT, LEDGER, SHARD
from storage.errors import Locked
from storage.lock import Lock
from tests.curation.conftest import FATES, PROSE, Small, write_documents
from tests.curation.own_stages import Breaks, ShortTexts
from tests.runs import IN_MEMORY, Finished, Sample, published, rows


def go(small: Small, output: Path, *settings: str, options: Options = IN_MEMORY, limit: int = 0) -> Manifest:
    """A run of the small recipe."""
    return run(small.recipe(*settings), Inputs(patterns=tuple(small.inputs), limit=limit), output, options=options)


def written(folder: Path) -> dict[str, int]:
    """When each file below a folder was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# --- the sample by fineweb


def test_in_is_kept_and_dropped(fineweb: Finished, sample: Sample) -> None:
    counts = fineweb.manifest.counts
    assert counts.pages == counts.kept + counts.dropped == len(sample.truth.pages)
    assert counts.dropped == sum(n for reasons in counts.dropped_by.values() for n in reasons.values())
    assert sum(source.pages for source in fineweb.manifest.inputs) == counts.pages
    assert counts.kept > 10


def test_the_ledger_holds_every_page_once(fineweb: Finished, sample: Sample) -> None:
    ledger = fineweb.rows("ledger")
    places = [(row["path"], row["offset"]) for row in ledger]
    assert places == sorted(set(places))
    root = fineweb.manifest.inputs_root
    full = {(f"{root}{path}".removeprefix(f"{sample.folder}/"), offset) for path, offset in places}
    assert full == {(page.path, page.offset) for page in sample.truth.pages}


def test_the_ledger_holds_what_readers_give(fineweb: Finished, sample: Sample) -> None:
    given = resolve_inputs(sample.inputs.patterns)
    pages = [(p.path, p.offset, p.id, p.url) for task in plan(given, "x") for p in open_task(task)]
    assert [(r["path"], r["offset"], r["id"], r["url"]) for r in fineweb.rows("ledger")] == pages


def test_what_is_no_page_is_counted(fineweb: Finished, sample: Sample) -> None:
    skipped: Counter[str] = Counter()
    for source in fineweb.manifest.inputs:
        skipped.update(source.skipped)
    wanted = {kind: n for kind, n in sample.truth.records.items() if kind != "response"}
    assert skipped == {**wanted, "metadata": wanted["metadata"] - 1}  # the last file is cut within its last response


def test_shards_are_the_kept_rows(fineweb: Finished) -> None:
    kept = [(r["path"], r["offset"], r["id"], r["url"]) for r in fineweb.rows("ledger") if r["outcome"] == "kept"]
    shards = fineweb.rows("shards")
    assert [(r["file_path"], r["offset"], r["id"], r["url"]) for r in shards] == kept
    assert len(kept) == fineweb.manifest.counts.kept
    assert sum(row["token_count"] for row in shards) == fineweb.manifest.counts.tokens
    assert sum(len(row["text"]) for row in shards) == fineweb.manifest.counts.characters
    assert {row["language"] for row in shards} == {"en"}
    assert min(row["language_score"] for row in shards) >= 0.65
    assert {row["dump"] for row in shards} == {"CC-MAIN-2026-47"}


def test_dropped_rows_are_the_manifests(fineweb: Finished) -> None:
    told = Counter((r["stage"], r["reason"]) for r in fineweb.rows("ledger") if r["outcome"] == "dropped")
    by = fineweb.manifest.counts.dropped_by
    assert told == {(stage, reason): n for stage, reasons in by.items() for reason, n in reasons.items()}
    order = ["read", "child", *(stage.name for stage in fineweb.manifest.stages)]
    assert list(by) == [stage for stage in order if stage in by]


def test_clusters_agree_with_the_ledger(fineweb: Finished) -> None:
    clusters = fineweb.rows("clusters")
    duplicates = {r["id"]: r["value"] for r in fineweb.rows("ledger") if r["stage"] == "minhash"}
    assert {row["id"]: row["size"] for row in clusters if not row["kept"]} == duplicates
    keepers = {row["id"]: row["size"] for row in clusters if row["kept"]}
    sizes = {row["id"]: row["cluster_size"] for row in fineweb.rows("shards")}
    assert {page: sizes[page] for page in keepers} == keepers
    assert {page for page, size in sizes.items() if size > 1} == set(keepers)
    assert Counter(row["keeper_id"] for row in clusters) == keepers


def test_signals_of_all_kept(fineweb: Finished) -> None:
    signals = fineweb.rows("signals")
    kept = [(r["path"], r["offset"]) for r in fineweb.rows("ledger") if r["outcome"] == "kept"]
    places = [(row["path"], row["offset"]) for row in signals]
    assert places == sorted(places)
    assert set(places) >= set(kept)
    assert all(row["sampled"] for row in signals if (row["path"], row["offset"]) not in set(kept))
    assert all(row["gopher_quality.too_few_words"] >= 50 for row in signals if not row["sampled"])


def test_dropped_texts_are_of_dropped_pages(fineweb: Finished) -> None:
    fates = {row["id"]: (row["stage"], row["reason"], row["value"]) for row in fineweb.rows("ledger")}
    dropped = fineweb.rows("dropped")
    assert {row["id"]: (row["stage"], row["reason"], row["value"]) for row in dropped}.items() <= fates.items()
    assert len({row["id"] for row in dropped}) == len(dropped) > 20
    assert all(row["text"] for row in dropped)


def test_the_manifest_names_every_file_with_its_hash(fineweb: Finished) -> None:
    files = published(fineweb.output)
    entries = {entry.path: entry for entry in fineweb.manifest.files}
    assert set(entries) == set(files)
    for name, content in files.items():
        entry = entries[name]
        assert (entry.sha256, entry.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert entry.rows == pq.read_metadata(fineweb.output / name).num_rows
    assert Output(str(fineweb.output)).manifest() == fineweb.manifest
    assert (fineweb.output / "_SUCCESS").read_bytes() == b""
    assert set(fineweb.manifest.files_used) >= {"lid176"}
    assert "<html" in (fineweb.output / "report.html").read_text(encoding="utf-8")


def test_schemas(fineweb: Finished) -> None:
    wanted = {"shards": SHARD, "ledger": LEDGER, "clusters": CLUSTERS, "dropped": DROPPED_TEXT}
    for folder, schema in wanted.items():
        for path in (fineweb.output / folder).iterdir():
            assert pq.read_schema(path).equals(schema), folder


def test_duckdb_and_polars_open_them(fineweb: Finished) -> None:
    ids = [row["id"] for row in fineweb.rows("shards")]
    glob = f"{fineweb.output}/shards/*.parquet"
    found = duckdb.sql(f"select id, text, token_count from '{glob}' order by file_path, \"offset\"")
    assert found.columns == ["id", "text", "token_count"]
    assert [row[0] for row in found.fetchall()] == ids
    outcomes = duckdb.sql(f"select outcome, count(*) from '{fineweb.output}/ledger/*.parquet' group by 1 order by 2")
    assert dict(outcomes.fetchall())["kept"] == len(ids)
    frame = polars.read_parquet(glob)
    assert frame["id"].to_list() == ids
    assert frame.columns == SHARD.names
    assert polars.read_parquet(f"{fineweb.output}/ledger/*.parquet")["outcome"].to_list().count("kept") == len(ids)


def test_datasets_opens_them(fineweb: Finished, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    glob = f"{fineweb.output}/shards/*.parquet"
    found = datasets.load_dataset("parquet", data_files=glob, split="train", cache_dir=str(tmp_path))
    assert found.column_names == SHARD.names
    assert found["id"] == [row["id"] for row in fineweb.rows("shards")]


# --- small runs


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small run. Not to be changed."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "in").mkdir()
    write_documents(folder / "in")
    return Finished(folder / "out", go(Small(folder / "in"), folder / "out"))


@pytest.fixture
def finished(once: Finished, tmp_path: Path) -> Small:
    """The documents of the small run, whose output this test has a copy of. They are not to be changed."""
    shutil.copytree(once.output, tmp_path / "out")
    return Small(once.output.with_name("in"))


def test_every_documents_fate(once: Finished) -> None:
    assert {row["id"]: row["stage"] or "kept" for row in once.rows("ledger")} == FATES
    assert once.manifest.counts.dropped_by == {"short_texts": {"too_short": 3}, "minhash": {"near_duplicate": 2}}
    assert [(r["keeper_id"], r["id"], r["size"], r["kept"]) for r in once.rows("clusters")] == [
        ("a0", "a0", 3, True),
        ("a0", "b1", 3, False),
        ("a0", "c0", 3, False),
    ]
    shards = once.rows("shards")
    assert [json.loads(row["metadata"]) for row in shards] == [{"n": n} for n in (0, 1, 0, 2, 1)]
    assert "me@mine.org" not in shards[3]["text"]
    assert [row["cluster_size"] for row in shards] == [3, 1, 1, 1, 1]
    assert [source.name for source in once.manifest.inputs] == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_finished_run_is_left_alone(once: Finished, finished: Small, tmp_path: Path) -> None:
    before = written(tmp_path / "out")
    assert go(finished, tmp_path / "out") == once.manifest
    assert written(tmp_path / "out") == before


@pytest.mark.parametrize("clean", [False, True])
def test_what_a_finished_run_lost_is_made_again(once: Finished, small: Small, tmp_path: Path, clean: bool) -> None:
    output, options = tmp_path / "out", dataclasses.replace(IN_MEMORY, clean=clean)
    manifest = go(small, output, options=options)
    shard, ledger = next((output / "shards").iterdir()), next((output / "ledger").iterdir())
    shard.unlink()
    ledger.unlink()
    ledger.write_bytes(b"PAR1")
    assert sorted(Output(str(output)).lost()) == [f"ledger/{ledger.name}", f"shards/{shard.name}"]
    assert go(small, output, options=options) == manifest
    assert published(output) == published(once.output)
    (output / "manifest.json").unlink()
    assert go(small, output, options=options) == manifest
    assert (output / "_SUCCESS").exists()


def test_a_run_whose_publish_failed_goes_on(
    once: Finished, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sifts committed is not done again."""

    def full(source: str, target: str) -> None:
        if "ledger" in target:
            raise OSError(28, "No space left on device", target)

    with monkeypatch.context() as context:
        context.setattr(parts, "place", full)
        with pytest.raises(OSError, match="No space left"):
            go(small, tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = written(tmp_path / "out" / "work")
    go(small, tmp_path / "out")
    after = written(tmp_path / "out" / "work")
    done = [name for name in before if name.startswith(("sift", "sign", "match", "cluster"))]
    assert {name: after[name] for name in done} == {name: before[name] for name in done}
    assert published(tmp_path / "out") == published(once.output)


def test_parts_of_nobody_are_swept(once: Finished, small: Small, tmp_path: Path) -> None:
    """What an attempt with other cuts left behind."""
    (tmp_path / "out" / "shards").mkdir(parents=True)
    shutil.copy(once.output / "run.json", tmp_path / "out")
    with pytest.raises(OutputError):  # other inputs: these have other times
        go(small, tmp_path / "out")
    (tmp_path / "out" / "run.json").unlink()
    shutil.rmtree(tmp_path / "out" / "shards")
    go(small, tmp_path / "out")
    (tmp_path / "out" / "_SUCCESS").unlink()
    (tmp_path / "out" / "shards" / "part-00007-of-00009.parquet").touch()
    go(small, tmp_path / "out")
    assert published(tmp_path / "out") == published(once.output)


LIMITS = {3: ["a0", "a1", "a2"], 4: ["a0", "a1", "a2", "b0"], 99: list(FATES)}


@pytest.mark.parametrize("limit", LIMITS)
def test_limit_reads_the_first_pages(limit: int, small: Small, tmp_path: Path) -> None:
    manifest = go(small, tmp_path / "out", "minhash.enabled=false", limit=limit)
    assert [row["id"] for row in rows(tmp_path / "out" / "ledger")] == LIMITS[limit]
    assert manifest.counts.pages == len(LIMITS[limit])


def test_another_recipe_in_the_same_folder(once: Finished, finished: Small, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\(recipe: short_texts.min_characters: 20 there, 2 now\); .* --fresh"):
        go(finished, tmp_path / "out", "short_texts.min_characters=2")
    with pytest.raises(OutputError, match=r"limit: 0 there, 2 now"):
        go(finished, tmp_path / "out", limit=2)
    assert published(tmp_path / "out") == published(once.output)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = written(tmp_path / "out")
    manifest = go(finished, tmp_path / "out", "short_texts.min_characters=2", options=replace(IN_MEMORY, fresh=True))
    assert manifest.counts.dropped_by["short_texts"] == {"too_short": 2}
    after = written(tmp_path / "out")
    assert [name for name in before if after.get(name) == before[name]] == ["notes.txt"]


def test_shards_are_good_input(tmp_path: Path) -> None:
    """What stages measured stays, and scopes see it."""
    texts = [(PROSE[0], "en"), (PROSE[0], "de"), (PROSE[1], "en"), (PROSE[1], "en")]
    lines = [{"text": text, "language": lang, "language_score": 0.75, "token_count": 20} for text, lang in texts]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = resolve(*load("minhash"), ["minhash.scope=[language]"])
    told = []
    for given, out in (("a.jsonl", "one"), ("one/shards/*.parquet", "two")):
        run(recipe, [str(tmp_path / given)], tmp_path / out, options=IN_MEMORY)
        shard = rows(tmp_path / out / "shards")
        told.append([(r["text"], r["language"], r["language_score"], r["token_count"]) for r in shard])
        assert not {"language", "language_score", "token_count"} & {k for r in shard for k in json.loads(r["metadata"])}
    assert told[0] == told[1] == [(text, lang, 0.75, 20) for text, lang in texts[:3]]


def test_clean_leaves_no_work(once: Finished, small: Small, tmp_path: Path) -> None:
    go(small, tmp_path / "out", options=replace(IN_MEMORY, clean=True))
    assert not (tmp_path / "out" / "work").exists()
    assert published(tmp_path / "out") == published(once.output)
    go(small, tmp_path / "out", options=replace(IN_MEMORY, clean=True))  # and is done


class Notes(Quiet):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, words: str) -> None:
        """A note."""
        self.told.append(words)


def again(small: Small, output: Path, options: Options) -> list[str]:
    """What a run of the small recipe tells."""
    notes = Notes()
    run(small.recipe(), small.inputs, output, options=options, progress=notes)
    return notes.told


def test_clean_after_the_run(once: Finished, finished: Small, tmp_path: Path) -> None:
    out, clean = tmp_path / "out", replace(IN_MEMORY, clean=True)
    told = "this run was finished before; "
    assert again(finished, out, clean) == [f"{told}deleted what its phases left in '{out}/work'"]
    assert not (out / "work").exists()
    assert again(finished, out, clean) == [f"{told}'{out}/work' is gone already"]
    assert published(out) == published(once.output)


def test_clean_after_the_run_leaves_a_shared_work(small: Small, tmp_path: Path) -> None:
    shared = replace(IN_MEMORY, work=str(tmp_path / "work"))
    go(small, tmp_path / "out", options=shared)
    before = written(tmp_path / "work")
    _, told = again(small, tmp_path / "out", replace(shared, clean=True))
    assert told.startswith(f"'{tmp_path}/work', which other runs may share, is left as it is")
    assert written(tmp_path / "work") == before


def test_a_run_of_no_page_says_so_every_time(small: Small, tmp_path: Path) -> None:
    for file in small.folder.iterdir():
        file.write_text("\n")
    told = ["the input holds no page: 0 pages were read, and the shards are empty; look at --input"]
    assert again(small, tmp_path / "out", IN_MEMORY) == told
    assert again(small, tmp_path / "out", IN_MEMORY) == told


def test_a_locked_folder(small: Small, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with Lock(str(tmp_path / "out" / ".lock")), pytest.raises(Locked, match=r"\.lock"):
        go(small, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_shared_work_does_not_sift_again(once: Finished, small: Small, tmp_path: Path) -> None:
    options = replace(IN_MEMORY, work=str(tmp_path / "work"))
    go(small, tmp_path / "one", options=options)
    before = {name: at for name, at in written(tmp_path / "work").items() if name.startswith("sift")}
    go(small, tmp_path / "two", "minhash.buckets=13", options=options)
    after = {name: at for name, at in written(tmp_path / "work").items() if name.startswith("sift")}
    assert {name: after[name] for name in before} == before
    new = [name for name in after if name not in before and name.endswith(".json")]
    assert len(new) == 3  # the second level's, whose documents another dedup chose
    assert published(tmp_path / "one") == published(once.output)


def test_shared_work_gives_the_bytes_of_a_fresh_one(small: Small, tmp_path: Path) -> None:
    """A run over one file after a run over all of them, in one work folder."""
    options = replace(IN_MEMORY, work=str(tmp_path / "work"))
    settings = ("sample.dropped_per_reason=1", "minhash.enabled=false")
    go(small, tmp_path / "all", *settings, options=options)
    alone = [f"{small.folder}/b.jsonl"]
    run(small.recipe(*settings), alone, tmp_path / "shared", options=options)
    run(small.recipe(*settings), alone, tmp_path / "fresh", options=IN_MEMORY)
    assert published(tmp_path / "shared") == published(tmp_path / "fresh")


def test_an_empty_file_is_no_error(small: Small, tmp_path: Path) -> None:
    for path in small.folder.iterdir():
        path.write_bytes(b"")
    manifest = go(small, tmp_path / "out", "publish.by=[language]")
    assert (manifest.counts.pages, manifest.counts.kept) == (0, 0)
    assert {name.partition("/")[0] for name in published(tmp_path / "out")} == {
        "shards", "ledger", "clusters", "signals", "dropped",
    }  # fmt: skip


def test_a_file_of_ones_own_by_name(small: Small, tmp_path: Path) -> None:
    """The how-to: a rule of ten lines, used by name from one's own pipelines file."""
    (tmp_path / "mine.yaml").write_text("curation: {mine: {stages: [short_texts: {min_characters: 20}]}}")
    reference = f"{tmp_path}/mine.yaml#mine"
    stages = {"short_texts": ShortTexts}
    manifest = curation.run(
        reference, small.inputs, tmp_path / "out", stages=stages, settings=["seed=4"], options=IN_MEMORY
    )
    assert manifest.counts.dropped_by == {"short_texts": {"too_short": 3}}
    assert (manifest.pipeline, manifest.seed) == ("mine", 4)
    with pytest.raises(RecipeError, match="unknown stage 'short_texts'"):
        curation.run(reference, small.inputs, tmp_path / "other", options=IN_MEMORY)
    assert not (tmp_path / "other").exists()


def test_progress_hears_every_phase(small: Small, tmp_path: Path) -> None:
    phases: list[tuple[str, int, int]] = []
    last: dict[str, tuple[int, int, float]] = {}

    class Heard:
        def begin(self, phase: str, jobs: int, done: int) -> None:
            phases.append((phase, jobs, done))

        def beat(self, beat: Beat) -> None:
            last[beat.phase] = (beat.done, beat.pages, beat.share)

        def note(self, words: str) -> None:
            raise AssertionError(words)

    run(small.recipe(), small.inputs, tmp_path / "out", options=IN_MEMORY, progress=Heard())
    assert phases == [
        ("sift", 3, 0), ("sign", 3, 0), ("match", 1, 0), ("cluster", 1, 0), ("sift", 3, 0), ("publish", 5, 0),
    ]  # fmt: skip
    assert last["publish"] == (5, 0, 1.0)
    assert last["sift"] == (3, 5, 1.0)


def test_a_defect_in_a_users_stage_is_told(small: Small, tmp_path: Path) -> None:
    recipe = resolve("mine", PipelineSpec.model_validate({"stages": ["breaks"]}), (), {"breaks": Breaks})
    with pytest.raises(RunFailedError) as caught:
        run(recipe, small.inputs, tmp_path / "out", options=IN_MEMORY)
    told = str(caught.value).splitlines()
    assert (len(told), told[-1]) == (4, "what is done stays done; mend this and give the same command again")
    place = rf"{inspect.getsourcefile(Breaks)}:{inspect.getsourcelines(Breaks.measure)[1] + 2}"
    for line, name in zip(told, "abc", strict=False):
        found = re.search(
            rf"the stage 'breaks' failed: ZeroDivisionError: a defect of mine at {name}0 \({place}\), "
            rf"on {name}0 \({name}.jsonl at 0\); the traceback is in (\S+\.traceback);$",
            line,
        )
        assert found, line
        assert Path(found[1]).read_text().startswith("Traceback (most recent call last):\n")


def test_page_and_ledger_counts_must_agree(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = driver.publish
    monkeypatch.setattr(driver, "publish", lambda *given: replace(real(*given), kept=99))
    with pytest.raises(LedgerError, match=r"^10 pages were read, 99 kept and 5 dropped; please report this$"):
        go(small, tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
