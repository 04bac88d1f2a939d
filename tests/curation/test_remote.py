"""Inputs and outputs on real servers: the bytes are those of a local run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.driver import Inputs, run
from curation.output import FOLDERS, Output
from schemas.manifest import Manifest
from storage.paths import exists, join, listdir, open_read
from storage.stores import remote
from tests.curation.conftest import Small
from tests.curation.test_bad_input import recipe, sound
from tests.runs import IN_MEMORY, published, rows

PAGES = 12


def fetched(output: str) -> dict[str, bytes]:
    """Every published file's bytes, by name."""
    found = {}
    for folder in FOLDERS:
        for name in listdir(join(output, folder)):
            with open_read(join(output, folder, name)) as file:
                found[f"{folder}/{name}"] = file.read()
    return found


def facts(manifest: Manifest) -> dict[str, Any]:
    """The manifest without what says where the input lay."""
    told = manifest.model_dump(exclude={"inputs_root", "inputs"})
    return told | {"pages": [(source.name, source.pages, source.skipped) for source in manifest.inputs]}


def test_s3_to_s3(small: Small, tmp_path: Path, s3: Any) -> None:
    """The same names and other tags: other task ids, the same bytes."""
    here = run(small.recipe(), small.inputs, tmp_path / "out", options=IN_MEMORY)
    client, _ = remote(s3.url)
    for path in small.folder.iterdir():
        client.put_file(str(path), f"{s3.bucket}/in/{path.name}")
    output = f"{s3.url}/out"
    there = run(small.recipe(), [f"{s3.url}/in/*.jsonl"], output, options=IN_MEMORY)
    assert fetched(output) == published(tmp_path / "out")
    assert facts(there) == facts(here)
    assert there.inputs_root == f"{s3.url}/in/"
    assert exists(f"{output}/_SUCCESS")
    assert not exists(f"{output}/.lock")
    assert Output(output).manifest() == there
    assert run(small.recipe(), [f"{s3.url}/in/*.jsonl"], output, options=IN_MEMORY) == there  # and is done


def test_local_to_s3_with_local_work(small: Small, tmp_path: Path, s3: Any) -> None:
    settings = ("minhash.enabled=false",)
    options = replace(IN_MEMORY, work=str(tmp_path / "work"), clean=True)
    run(small.recipe(*settings), small.inputs, f"{s3.url}/out", options=options)
    run(small.recipe(*settings), small.inputs, tmp_path / "out", options=IN_MEMORY)
    assert fetched(f"{s3.url}/out") == published(tmp_path / "out")
    assert list((tmp_path / "work" / "sift").rglob("*.*")) == []  # what others may share stays


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """A dozen sound pages."""
    return b"".join(sound(f"page-{i}") for i in range(PAGES))


def test_http_with_ranges(archive: bytes, http_files: Any, make_fault: Any, tmp_path: Path) -> None:
    """A WARC over HTTP with a busy server and a broken connection; then records named by an index alone."""
    name = "crawl-data/CC-MAIN-2026-47/a.warc.gz"
    place = http_files.folder / name
    place.parent.mkdir(parents=True)
    place.write_bytes(archive)
    (tmp_path / "warc.paths").write_text(f"{name}\n")
    http_files.faults[name] = [make_fault(status=503), make_fault(), make_fault(cut=1000)]
    inputs = Inputs(patterns=(str(tmp_path / "warc.paths"),), prefix=http_files.url)
    there = run(recipe("extract"), inputs, tmp_path / "http", options=IN_MEMORY)
    local = Inputs(patterns=(str(tmp_path / "warc.paths"),), prefix=str(http_files.folder))
    here = run(recipe("extract"), local, tmp_path / "local", options=IN_MEMORY)
    assert there.counts.pages == PAGES
    assert facts(there) == facts(here)
    assert published(tmp_path / "http") == published(tmp_path / "local")
    assert {row["dump"] for row in rows(tmp_path / "http" / "shards")} == {"CC-MAIN-2026-47"}
    assert http_files.faults[name] == []


def test_an_index_reads_its_records_only(archive: bytes, http_files: Any, tmp_path: Path) -> None:
    name = "crawl-data/CC-MAIN-2026-47/a.warc.gz"
    place = http_files.folder / name
    place.parent.mkdir(parents=True)
    place.write_bytes(archive)
    starts, at = [], 0
    for i in range(PAGES):
        starts.append((at, len(sound(f"page-{i}"))))
        at += starts[-1][1]
    table = pa.table(
        {
            "warc_filename": [name] * PAGES,
            "warc_record_offset": [offset for offset, _ in starts],
            "warc_record_length": [length for _, length in starts],
            "content_languages": ["kor" if i in (3, 7) else "eng" for i in range(PAGES)],
        }
    )
    pq.write_table(table, tmp_path / "index.parquet")
    inputs = Inputs(
        patterns=(str(tmp_path / "index.parquet"),), prefix=http_files.url, where="content_languages = 'kor'"
    )
    manifest = run(recipe("extract"), inputs, tmp_path / "out", options=IN_MEMORY)
    ledger = rows(tmp_path / "out" / "ledger")
    assert [(row["id"], row["offset"]) for row in ledger] == [
        ("<urn:page-3>", starts[3][0]),
        ("<urn:page-7>", starts[7][0]),
    ]
    assert manifest.counts.kept == 2
    ranges = [spec for requested, spec in http_files.requests if requested == name]
    assert "" not in ranges  # never the whole file
