"""A curated folder: what it gives, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from storage.stores import remote
from tests.trainer import nano
from tests.trainer.curated import document, manifest, write
from trainer.corpus import Corpus, sample_rows
from trainer.errors import IntegrityError, TrainerError

TEXTS = [[f"text {shard} {i}" for i in range(20)] for shard in range(2)]


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    return write(tmp_path / "out", [[document(i, text) for i, text in enumerate(texts)] for texts in TEXTS])


def texts(corpus: Corpus, shard: int, start: int = 0) -> list[str]:
    return [row for batch in corpus.rows(corpus.shards[shard], start=start) for row in batch["text"].to_pylist()]


def test_rows_in_order_from_any_row(curated: Path) -> None:
    corpus = Corpus(str(curated))
    assert [texts(corpus, shard) for shard in range(2)] == TEXTS
    for start in range(22):
        assert texts(corpus, 1, start) == TEXTS[1][start:]


def test_columns_asked_for(curated: Path) -> None:
    corpus = Corpus(str(curated))
    batch = next(corpus.rows(corpus.shards[0], words=("url", "nosuch"), batch_rows=3))
    assert batch.num_rows == 3
    assert batch.schema.names == ["text", "id", "url"]
    every = next(corpus.rows(corpus.shards[0])).schema.names
    assert {"text", "id", "url", "offset"} < set(every)
    assert "metadata" not in every


def test_http_and_s3_give_the_same(curated: Path, http_files: Any, s3: Any) -> None:
    shutil.copytree(curated, http_files.folder / "out")
    client, _ = remote(s3.url)
    client.put(str(curated), f"{s3.bucket}/out", recursive=True)
    here = Corpus(str(curated))
    for folder in (f"{http_files.url}/out", f"{s3.url}/out"):
        there = Corpus(folder)
        assert there.shards == here.shards
        assert [texts(there, shard) for shard in range(2)] == TEXTS
    asked = [name for name, _ in http_files.requests if name.endswith(".parquet")]
    assert len(asked) == len(set(asked)) == 2  # each once, front to back


def test_an_altered_shard_gives_no_row(curated: Path, http_files: Any) -> None:
    path = curated / "shards" / "part-00001-of-00002.parquet"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    shutil.copytree(curated, http_files.folder / "out")
    for folder in (str(curated), f"{http_files.url}/out"):
        corpus = Corpus(folder)
        told = r"part-00001-of-00002.*expected sha256 [0-9a-f]{64} .*found [0-9a-f]{64}"
        with pytest.raises(IntegrityError, match=told):
            next(corpus.rows(corpus.shards[1]))
        assert texts(corpus, 0) == TEXTS[0]


def test_a_missing_shard_is_named(curated: Path, http_files: Any) -> None:
    (curated / "shards" / "part-00000-of-00002.parquet").unlink()
    shutil.copytree(curated, http_files.folder / "out")
    for folder in (str(curated), f"{http_files.url}/out"):
        corpus = Corpus(folder)
        with pytest.raises(IntegrityError, match=r"part-00000-of-00002.parquet' is not .*no such file; copy"):
            next(corpus.rows(corpus.shards[0]))


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"no manifest.json in .*; give the folder that a finished"):
        Corpus(str(tmp_path))


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("{}\n")
    with pytest.raises(TrainerError, match=r"chats.jsonl' is a file, the folder that a finished .*--kind chat`"):
        Corpus(str(path))


def test_the_manifest_says_that_a_run_has_all_its_shards(curated: Path) -> None:
    """It is written behind the last shard, so a folder is read without _SUCCESS, and shards alone are not."""
    assert sorted(path.name for path in curated.iterdir()) == ["manifest.json", "shards"]
    assert [texts(Corpus(str(curated)), shard) for shard in range(2)] == TEXTS
    (curated / "manifest.json").unlink()
    (curated / "_SUCCESS").touch()
    with pytest.raises(TrainerError, match=r"no manifest.json in .*; give the folder that a finished"):
        Corpus(str(curated))


def test_a_manifest_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(TrainerError, match=r"is no manifest that this version reads: gristmill: Field required"):
        Corpus(str(tmp_path))


def test_a_manifest_without_shards(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest(()).model_dump_json())
    with pytest.raises(TrainerError, match="names nothing below 'shards/': there are no documents"):
        Corpus(str(tmp_path))


def test_a_sample_by_hash(tmp_path: Path) -> None:
    """About as many as asked, languages with them, other ones for another seed, all where all are wanted."""
    web = str(nano.corpus(tmp_path / "web", 90))
    rows = list(sample_rows(web, 30, seed=1))
    assert 15 < len(rows) < 50
    assert {language for language, _ in rows} == {"en", "ko"}
    assert list(sample_rows(web, 30, seed=1)) == rows
    assert set(sample_rows(web, 30, seed=2)) != set(rows)
    assert len(list(sample_rows(web, 1000, seed=1))) == 90
    texts = {nano.prose(n, "ko" if n % 3 == 2 else "en") for n in range(90)}
    assert {text for _, text in rows} < texts


def test_a_sample_reads_no_more_shards_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.corpus.ROWS_PER_TEXT", 2)
    shards = [[document(100 * part + n, f"{part} {n}") for n in range(50)] for part in range(6)]
    folder = str(write(tmp_path / "data", shards))
    rows = list(sample_rows(folder, 50, seed=3))
    assert len({text.split()[0] for _, text in rows}) == 2
    assert 30 < len(rows) < 70
