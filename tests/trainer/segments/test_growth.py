"""Data that grew: what was sealed is taken over, what is new is encoded, what was lost is made again."""

import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.commit import replace_atomic
from storage.paths import join, open_read, remove
from tests.trainer.bytes_tokenizer import BytesTokenizer
from tests.trainer.curated import document, write
from trainer.errors import IntegrityError
from trainer.segments.read import MANIFEST, Segments
from trainer.segments.tokenize import Progress, tokenize

SHARDS = [[document(100 * shard + i, f"text {i} of {shard} " * (i % 9)) for i in range(40)] for shard in range(4)]


class CountingTokenizer(BytesTokenizer):
    """Tells what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.encoded += texts
        return super().encode_documents(texts)


@pytest.fixture
def tokenizer() -> CountingTokenizer:
    return CountingTokenizer()


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where segments are kept."""
    return str(tmp_path / "s") if request.param == "local" else f"{request.getfixturevalue('s3').url}/s"


def texts(*shards: int) -> list[str]:
    return [row["text"] for shard in shards for row in SHARDS[shard]]


def content(path: str) -> bytes:
    with open_read(path) as file:
        return file.read()


def data(folder: Path, *shards: int) -> str:
    return str(write(folder, [SHARDS[shard] for shard in shards]))


def held(folder: str) -> list[tuple[Any, ...]]:
    """All that segments give."""
    segments = Segments.open(folder)
    found = []
    for i, entry in enumerate(segments.manifest.segments):
        tokens = segments.read(i, "tokens", 0, entry.tokens).tobytes()
        found.append((entry, tokens, segments.starts(i).tolist(), segments.columns(i).to_pylist()))
    segments.cache.rest(5)
    return found


def seal(folder: str, tokenizer: BytesTokenizer, root: str, told: list[Progress] | None = None) -> str:
    progress = None if told is None else told.append
    return tokenize(folder, "text", tokenizer, root, workers=1, segment_tokens=300, progress=progress)


def test_one_more_shard(tmp_path: Path, tokenizer: CountingTokenizer, root: str) -> None:
    """It is encoded and nothing else, wherever it stands among the others; the old data's manifest stays."""
    old = seal(data(tmp_path / "old", 1, 3), tokenizer, root)
    before = held(old)
    tokenizer.encoded.clear()
    told: list[Progress] = []
    grown = seal(data(tmp_path / "grown", 1, 2, 3), tokenizer, root, told)
    assert tokenizer.encoded == texts(2)
    assert [(told[n].units, told[n].of, told[n].documents) for n in (0, -1)] == [(2, 3, 80), (3, 3, 120)]
    assert held(grown) == held(seal(str(tmp_path / "grown"), BytesTokenizer(), str(tmp_path / "afresh")))
    assert held(old) == before
    tokenizer.encoded.clear()
    assert len(held(seal(data(tmp_path / "less", 3), tokenizer, root))) < len(before)
    assert tokenizer.encoded == []


def test_equal_shards_are_encoded_once(tmp_path: Path, tokenizer: CountingTokenizer) -> None:
    told: list[Progress] = []
    folder = seal(data(tmp_path / "data", 1, 2, 1), tokenizer, str(tmp_path / "s"), told)
    assert tokenizer.encoded == [*texts(1), *texts(2)] or tokenizer.encoded == [*texts(2), *texts(1)]
    assert (told[-1].units, told[-1].of) == (2, 2)
    first, second = held(seal(data(tmp_path / "one", 1), tokenizer, str(tmp_path / "s"))), held(folder)
    assert second[: len(first)] == second[-len(first) :] == first


def test_all_sealed_files_were_lost(tmp_path: Path, tokenizer: CountingTokenizer) -> None:
    old = data(tmp_path / "old", 0, 1)
    folder = seal(old, tokenizer, str(tmp_path / "s"))
    sound = held(folder)
    shutil.rmtree(Segments.open(folder).files)
    assert seal(old, tokenizer, str(tmp_path / "s")) == folder
    assert held(folder) == sound


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize("kind", ["tokens", "starts", "columns.parquet", "blocks"])
def test_sealed_files_that_were_lost(tmp_path: Path, tokenizer: CountingTokenizer, kind: str, damage: str) -> None:
    """They are made again, for data that grew as for that which has its manifest."""
    root = str(tmp_path / "s")
    old, grown = data(tmp_path / "old", 0, 1), data(tmp_path / "grown", 0, 1, 2)
    folder = seal(old, tokenizer, root)
    sound, files = held(folder), Path(Segments.open(folder).files)
    name = sound[-1][0].name
    (path,) = files.glob(f"{name}.*.{kind}")
    for again, encoded in ((grown, {*texts(1), *texts(2)}), (old, set(texts(1)))):
        path.write_bytes(path.read_bytes()[:-1])
        if damage == "gone":
            path.unlink()
        with pytest.raises(IntegrityError, match=path.name):
            Segments.open(folder)
        tokenizer.encoded.clear()
        made = seal(again, tokenizer, root)
        assert set(tokenizer.encoded) == encoded
        assert held(made)[: len(sound)] == sound


def test_a_flipped_byte_that_was_taken_over(tmp_path: Path, tokenizer: CountingTokenizer) -> None:
    """Found where it is read, and made again by what the error says."""
    root = str(tmp_path / "s")
    folder = seal(data(tmp_path / "old", 0, 1), tokenizer, root)
    sound = held(folder)
    path = Path(Segments.open(folder).files) / sound[0][0].arrays[0].path
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    grown = seal(data(tmp_path / "grown", 0, 1, 2), tokenizer, root)
    with pytest.raises(IntegrityError, match=re.escape(path.name) + "' is damaged.*; remove it and tokenize again"):
        held(grown)
    path.unlink()
    assert seal(str(tmp_path / "grown"), tokenizer, root) == grown
    assert held(grown)[: len(sound)] == sound


def test_a_damaged_mark(tmp_path: Path, tokenizer: CountingTokenizer) -> None:
    root = str(tmp_path / "s")
    folder = seal(data(tmp_path / "old", 0), tokenizer, root)
    sound = held(folder)
    mark = Path(Segments.open(folder).files) / "marks" / f"{sound[0][0].name}.json"
    told = mark.read_text()
    mark.write_text(told.replace('"rows":', '"rows":1'))
    grown = data(tmp_path / "grown", 0, 1)
    with pytest.raises(IntegrityError, match=re.escape(f"{str(mark)!r} is damaged: ")):
        seal(grown, tokenizer, root)
    mark.unlink()
    assert held(seal(grown, tokenizer, root))[: len(sound)] == sound
    assert mark.read_text() == told


def test_a_damaged_manifest(tmp_path: Path, tokenizer: CountingTokenizer, root: str) -> None:
    """It is told, not made again unseen; removed, it is made again from what is sealed, without the data's texts."""
    old = data(tmp_path / "old", 0, 1)
    folder = seal(old, tokenizer, root)
    sound, path = held(folder), join(folder, MANIFEST)
    told = content(path)
    tokenizer.encoded.clear()
    replace_atomic(path, told.replace(b'"documents": 4', b'"documents": 5', 1))
    for _ in range(2):
        with pytest.raises(IntegrityError, match=re.escape(f"{path!r} is damaged: ") + ".*; remove it, and the same "):
            seal(old, tokenizer, root)
    remove(path)
    assert seal(old, tokenizer, root) == folder
    assert content(path) == told
    assert held(folder) == sound
    assert tokenizer.encoded == []


def test_what_lies_under_a_manifest_that_is_made_again_must_hold(tmp_path: Path, tokenizer: CountingTokenizer) -> None:
    root, old = str(tmp_path / "s"), data(tmp_path / "old", 0, 1)
    folder = seal(old, tokenizer, root)
    sound, files = held(folder), Path(Segments.open(folder).files)
    entry = sound[0][0]
    path, mark = files / entry.arrays[0].path, files / "marks" / f"{entry.name}.json"
    Path(folder, MANIFEST).unlink()
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    mark.write_bytes(mark.read_bytes()[:-1])
    for damaged in (mark, path):
        with pytest.raises(IntegrityError, match=re.escape(f"{str(damaged)!r} is damaged: ")):
            held(seal(old, tokenizer, root))
        damaged.unlink()
    assert held(seal(old, tokenizer, root)) == sound


@pytest.mark.parametrize("what", ["manifest", "mark"])
def test_no_damage_passes(tmp_path: Path, tokenizer: CountingTokenizer, what: str) -> None:
    """Whichever bit is another one, wherever the file ends."""
    root, old, grown = str(tmp_path / "s"), data(tmp_path / "old", 0, 1), data(tmp_path / "grown", 0, 1, 2)
    folder = seal(old, tokenizer, root)
    segments = Segments.open(folder)
    names = [entry.name for entry in segments.manifest.segments]
    path = Path(folder, MANIFEST) if what == "manifest" else Path(segments.files, "marks", f"{names[0]}.json")
    told, chance = path.read_bytes(), random.Random(0)
    flips = [divmod(chance.randrange(8 * len(told)), 8) for _ in range(200)]
    last = [(at, bit) for at in range(len(told) - 66, len(told)) for bit in range(8)]  # the hash and what stands by it
    damaged = [told[:at] + bytes([told[at] ^ 1 << bit]) + told[at + 1 :] for at, bit in flips + last]
    damaged += [told[: chance.randrange(len(told))] for _ in range(50)]
    damaged += [b"", b"\n", told[:-1], told[:-64], told[:-65], told + b"\n", told + told]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=re.escape(f"{str(path)!r} is damaged: ")):
            seal(old if what == "manifest" else grown, tokenizer, root)
    path.write_bytes(told)
    assert seal(old, tokenizer, root) == folder
    assert [entry.name for entry in Segments.open(folder).manifest.segments] == names
