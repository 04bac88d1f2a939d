"""From a curated folder to segments: what they hold, that bytes depend on nothing else, and stops on the way."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import xxhash

from storage.paths import listdir
from tests.trainer.bytes_tokenizer import BytesTokenizer
from tests.trainer.curated import document, write
from trainer.corpus import Corpus
from trainer.errors import IntegrityError, TrainerError
from trainer.segments.read import Segments
from trainer.segments.tokenize import Progress, tokenize

TOKENIZER = BytesTokenizer()
SHARDS = [
    [document(100 * shard + i, "가나다 text "[: i % 9] * (1 + i % 5), quality_score=i / 40) for i in range(40)]
    for shard in range(3)
]


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    return write(tmp_path / "curated", SHARDS)


def contents(folder: str) -> dict[str, bytes]:
    """Every file's bytes, by name, of all data beside a folder's; what a kill left half made is none."""
    root = Path(folder).parent
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith(".tmp-")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def sealed_files(folder: str) -> Path:
    """The folder of sealed files."""
    return Path(Segments.open(folder).files)


def documents(folder: str) -> list[bytes]:
    """The texts, in order, from the tokens."""
    segments, found = Segments.open(folder), []
    for i in range(len(segments.manifest.segments)):
        starts = segments.starts(i)
        for a, b in pairwise(starts):
            tokens = segments.read(i, "tokens", int(a), int(b))
            assert tokens[-1] == TOKENIZER.eos_id
            found.append(bytes(tokens[:-1].astype(np.uint8)))
    return found


def test_every_document_in_order(curated: Path, tmp_path: Path) -> None:
    folder = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), segment_tokens=300)
    texts = [row["text"].encode() for rows in SHARDS for row in rows]
    assert documents(folder) == texts
    manifest = Segments.open(folder).manifest
    assert sum(segment.tokens for segment in manifest.segments) == sum(len(text) + 1 for text in texts)
    assert manifest.targets == sum(map(len, texts))
    assert sum(segment.text_bytes for segment in manifest.segments) == sum(map(len, texts))
    assert sum(segment.documents for segment in manifest.segments) == 120
    assert max(segment.tokens for segment in manifest.segments) <= 300
    assert len(manifest.segments) > 6
    assert (sealed_files(folder) / "tokenizer.json").read_bytes() == TOKENIZER.json


def test_columns(curated: Path, tmp_path: Path) -> None:
    folder = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"))
    segments = Segments.open(folder)
    table = segments.columns(1)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in SHARDS[1]]
    assert [row["id_hash"] for row in rows] == [xxhash.xxh3_64_intdigest(row["id"].encode()) for row in SHARDS[1]]
    assert [row["bytes"] for row in rows] == [row["targets"] for row in rows]  # a byte is a token
    assert [row["quality_score"] for row in rows] == [row["quality_score"] for row in SHARDS[1]]
    assert not {"text", "metadata"} & set(table.column_names)
    assert {"language", "url", "offset", "cluster_size"} <= set(table.column_names)
    assert table.schema.field("id_hash").type == pa.uint64()
    assert table.schema.field("targets").type == pa.int32()


def test_an_empty_text_is_its_end(curated: Path, tmp_path: Path) -> None:
    segments = Segments.open(tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s")))
    assert segments.read(0, "tokens", 0, int(segments.starts(0)[1])).tolist() == [TOKENIZER.eos_id]
    assert segments.columns(0, ["targets"])["targets"][0].as_py() == 0


def test_large_vocabularies_take_four_bytes(curated: Path, tmp_path: Path) -> None:
    folders = [
        tokenize(str(curated), "text", BytesTokenizer(largest), str(tmp_path / "s")) for largest in (65_535, 65_536)
    ]
    dtypes = [Segments.open(folder).read(0, "tokens", 0, 5).dtype for folder in folders]
    assert dtypes == [np.uint16, np.uint32]
    assert documents(folders[0]) == documents(folders[1])


def test_the_same_bytes_by_any_number_of_processes(curated: Path, tmp_path: Path) -> None:
    one = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "one"), workers=1, segment_tokens=300)
    two = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "two"), workers=2, segment_tokens=300)
    assert contents(one) == contents(two)


def test_a_finished_folder_is_taken_as_it_is(curated: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    folder = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), progress=told.append)
    assert (told[-1].units, told[-1].of, told[-1].documents) == (3, 3, 120)
    assert told[-1].tokens == sum(len(row["text"].encode()) + 1 for rows in SHARDS for row in rows)
    told.clear()
    (curated / "shards" / "part-00000-of-00003.parquet").unlink()  # not needed any more
    assert tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), progress=told.append) == folder
    assert told == []


def test_other_data_or_another_tokenizer_is_another_folder(curated: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", SHARDS[1:])
    folders = {
        tokenize(str(data), "text", tokenizer, str(tmp_path / "s"), segment_tokens=size)
        for data in (curated, other)
        for tokenizer in (TOKENIZER, BytesTokenizer(300))
        for size in (300, 400)
    }
    assert len(folders) == 8


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """One shard of several batches."""
    return write(tmp_path / "long", [[document(i, f"document {i} " * (i % 7)) for i in range(1200)]])


def test_a_stop_costs_one_segment(long: Path, tmp_path: Path) -> None:
    whole = tokenize(str(long), "text", TOKENIZER, str(tmp_path / "whole"), workers=1, segment_tokens=9000)
    marks = tmp_path / "s" / sealed_files(whole).name / "marks"

    def stop(state: Progress) -> None:
        if marks.is_dir() and len(listdir(str(marks))) >= 2:
            raise KilledError

    with pytest.raises(KilledError):
        tokenize(str(long), "text", TOKENIZER, str(tmp_path / "s"), workers=1, progress=stop, segment_tokens=9000)
    kept = {path.name: path.stat().st_mtime_ns for path in marks.iterdir()}
    after: list[int] = []
    folder = tokenize(
        str(long),
        "text",
        TOKENIZER,
        str(tmp_path / "s"),
        workers=1,
        progress=lambda state: after.append(state.documents),
        segment_tokens=9000,
    )
    assert contents(folder) == contents(whole)
    assert {name: (marks / name).stat().st_mtime_ns for name in kept} == kept
    assert len(kept) < len(list(marks.iterdir()))
    assert after[0] > 256  # sealed documents are not encoded again
    assert after[-1] == 1200


CHILD = """
import sys, time
from tests.trainer.bytes_tokenizer import BytesTokenizer
from trainer.segments.tokenize import tokenize
tokenize(sys.argv[1], "text", BytesTokenizer(), sys.argv[2], workers=int(sys.argv[3]), segment_tokens=9000,
         progress=lambda state: time.sleep(0.3))
"""


def child(data: Path, folder: Path, workers: int = 1) -> "subprocess.Popen[bytes]":
    """A process that tokenizes, slowly."""
    command = [sys.executable, "-c", CHILD, str(data), str(folder), str(workers)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[3])


def test_killed_and_gone_on_with(long: Path, tmp_path: Path) -> None:
    whole = tokenize(str(long), "text", TOKENIZER, str(tmp_path / "whole"), segment_tokens=9000)
    process = child(long, tmp_path / "s")
    marks = tmp_path / "s" / sealed_files(whole).name / "marks"
    deadline = time.monotonic() + 60
    while not (marks.is_dir() and any(marks.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert any(marks.iterdir())
    assert not (tmp_path / "s" / Path(whole).name).exists()
    folder = tokenize(str(long), "text", TOKENIZER, str(tmp_path / "s"), segment_tokens=9000)
    assert contents(folder) == contents(whole)


def test_what_kills_left_is_swept_when_it_is_old(curated: Path, tmp_path: Path) -> None:
    name = sealed_files(tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "whole"))).name
    (tmp_path / "s" / name).mkdir(parents=True)
    old, fresh = (tmp_path / "s" / name / f".tmp-{age}" for age in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"))
    assert (old.exists(), fresh.exists()) == (False, True)


def test_processes_end_with_their_driver(tmp_path: Path) -> None:
    many = write(tmp_path / "many", [[document(i, x * 50) for i in range(1200)] for x in "xy"])
    process = child(many, tmp_path / "s", workers=2)
    driver, deadline = psutil.Process(process.pid), time.monotonic() + 60
    while len(children := driver.children(recursive=True)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert len(gone) >= 3  # two workers, and what multiprocessing runs besides
    assert alive == []


def test_two_at_once_both_end_well(curated: Path, tmp_path: Path) -> None:
    whole = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "whole"), workers=1, segment_tokens=300)
    folders: list[str] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait()
        folders.append(tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), workers=1, segment_tokens=300))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2
    assert contents(folders[0]) == contents(whole)


def test_s3_gives_the_same_segments(curated: Path, tmp_path: Path, s3: Any) -> None:
    here = tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), segment_tokens=300)
    there = tokenize(str(curated), "text", TOKENIZER, f"{s3.url}/s", segment_tokens=300)
    assert documents(there) == documents(here)
    assert Segments.open(there).manifest == Segments.open(here).manifest


def test_an_altered_shard_seals_nothing_of_it(curated: Path, tmp_path: Path) -> None:
    path = curated / "shards" / "part-00000-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    for workers in (1, 2):
        with pytest.raises(IntegrityError, match="part-00000-of-00003"):
            tokenize(str(curated), "text", TOKENIZER, str(tmp_path / f"s{workers}"), workers=workers)
        digest = Corpus(str(curated)).shards[0].sha256[:32]
        made = [path.name for path in (tmp_path / f"s{workers}").rglob(f"{digest}*")]
        assert made == []


def test_no_documents(tmp_path: Path) -> None:
    folder = write(tmp_path / "none", [[], []])
    with pytest.raises(TrainerError, match="holds no document to tokenize"):
        tokenize(str(folder), "text", TOKENIZER, str(tmp_path / "s"))


def test_an_empty_shard_among_others(tmp_path: Path) -> None:
    folder = write(tmp_path / "some", [[], SHARDS[0], []])
    made = tokenize(str(folder), "text", TOKENIZER, str(tmp_path / "s"))
    assert documents(made) == [row["text"].encode() for row in SHARDS[0]]


class DyingTokenizer(BytesTokenizer):
    """Takes its process with it."""

    def encode_documents(self, texts: Sequence[str]) -> list[np.ndarray]:
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().encode_documents(texts)


def test_a_process_that_dies_is_told_and_what_was_sealed_stays(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"a process that tokenized .*curated' died, .* with fewer than 2 workers"):
        tokenize(str(curated), "text", DyingTokenizer(), str(tmp_path / "s"), workers=2)
    folder = tokenize(str(curated), "text", DyingTokenizer(), str(tmp_path / "s"), workers=1)
    assert documents(folder) == [row["text"].encode() for rows in SHARDS for row in rows]


def test_an_interrupt_ends_all_processes(curated: Path, tmp_path: Path) -> None:
    def stop(state: Progress) -> None:
        if state.documents:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize(str(curated), "text", TOKENIZER, str(tmp_path / "s"), workers=2, progress=stop)
    workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert psutil.wait_procs(workers, timeout=10)[1] == []
