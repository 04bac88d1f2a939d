"""Reading segments: the same from everywhere, nothing unchecked, damage named."""

import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.segments import BLOCK_BYTES
from storage.stores import remote
from tests.trainer.sealed import write
from trainer import checksum
from trainer.errors import IntegrityError, TrainerError
from trainer.segments import cache
from trainer.segments.cache import BlockCache
from trainer.segments.library import Library
from trainer.segments.read import Segments

BLOCK = BLOCK_BYTES // 2  # tokens
DOCUMENTS = [(np.arange(size) + n).astype(np.uint16) for n, size in ((0, 5), (7, 3 * BLOCK), (9, 40_000))]
FLAT = np.concatenate(DOCUMENTS)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Two segments, four blocks of tokens each."""
    return write(tmp_path / "sealed", [DOCUMENTS, DOCUMENTS[::-1]])


@pytest.fixture(params=["local", "http", "s3"])
def place(request: pytest.FixtureRequest, sealed: Path) -> Callable[[], str]:
    """Puts the folder, as it is now, where a store serves it."""

    def put() -> str:
        if request.param == "local":
            return str(sealed)
        if request.param == "http":
            files = request.getfixturevalue("http_files")
            shutil.copytree(sealed, files.folder / "sealed")
            return f"{files.url}/sealed"
        s3 = request.getfixturevalue("s3")
        client, _ = remote(s3.url)
        client.put(str(sealed), f"{s3.bucket}/sealed", recursive=True)
        return f"{s3.url}/sealed"

    return put


def tokens_file(folder: Path, segment: int = 0) -> Path:
    (path,) = folder.glob(f"{segment:05d}.*.tokens")
    return path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_ranges(place: Callable[[], str]) -> None:
    segments = Segments.open(place())
    end = len(FLAT)
    for start, stop in ((0, 5), (0, end), (BLOCK - 1, BLOCK + 1), (2 * BLOCK, 2 * BLOCK), (end - 1, end)):
        assert np.array_equal(segments.read(0, "tokens", start, stop), FLAT[start:stop])
    assert segments.starts(1).tolist() == [0, 40_000, 40_000 + 3 * BLOCK, 40_005 + 3 * BLOCK]
    flat, at = segments.gather(0, "tokens", np.array([BLOCK + 5, 3]), np.array([3 * BLOCK, 9]))
    assert np.array_equal(flat[at[0] : at[0] + 2 * BLOCK - 5], FLAT[BLOCK + 5 : 3 * BLOCK])
    assert np.array_equal(flat[at[1] : at[1] + 6], FLAT[3:9])
    segments.cache.rest(5)


def test_columns(place: Callable[[], str]) -> None:
    segments = Segments.open(place())
    for _ in range(2):
        assert segments.columns(1, ["targets", "id"]).to_pylist() == [
            {"targets": 39_999, "id": "sealed-1-0"},
            {"targets": 3 * BLOCK - 1, "id": "sealed-1-1"},
            {"targets": 4, "id": "sealed-1-2"},
        ]
    assert segments.columns(0).column_names == ["id", "bytes", "id_hash", "targets"]
    with pytest.raises(TrainerError, match=r"has no columns \['quality'\]; there are \['bytes', 'id', 'id_hash'"):
        segments.columns(0, ["quality"])


def test_a_flipped_byte_is_found_before_it_is_given_out(sealed: Path, place: Callable[[], str]) -> None:
    path = tokens_file(sealed)
    flip(path, BLOCK_BYTES + 10)
    segments = Segments.open(place())
    told = rf"{path.name}' is damaged: block 1 \(bytes 262,144 to 524,288\) has xxh3_128 [0-9a-f]{{32}}, expected"
    for _ in range(2):
        with pytest.raises(IntegrityError, match=told):
            segments.read(0, "tokens", BLOCK - 1, BLOCK + 1)
    assert np.array_equal(segments.read(0, "tokens", 0, BLOCK), FLAT[:BLOCK])  # the block before is sound
    assert np.array_equal(segments.read(0, "tokens", 2 * BLOCK, 3 * BLOCK), FLAT[2 * BLOCK : 3 * BLOCK])
    segments.cache.rest(5)


@pytest.mark.parametrize("kind", ["starts", "blocks", "columns.parquet"])
def test_damage_elsewhere(sealed: Path, place: Callable[[], str], kind: str) -> None:
    (path,) = sealed.glob(f"00000.*.{kind}")
    flip(path, 9)
    segments = Segments.open(place())
    read = segments.columns if kind == "columns.parquet" else segments.starts
    with pytest.raises(IntegrityError, match=rf"{path.name}' is damaged"):
        read(0)
    segments.cache.rest(5)


@pytest.mark.parametrize("size", [-1, 1])
def test_truncated_and_grown_files(sealed: Path, place: Callable[[], str], size: int) -> None:
    path = tokens_file(sealed)
    data = path.read_bytes()
    path.write_bytes(data[:-1] if size < 0 else data + b"x")
    told = rf"{path.name}' has {len(data) + size:,} bytes, its manifest says {len(data):,}; restore"
    with pytest.raises(IntegrityError, match=told):
        Segments.open(place()).read(0, "tokens", 0, 1)


@pytest.mark.parametrize("kind", ["tokens", "starts", "blocks", "columns.parquet"])
def test_missing_files(sealed: Path, place: Callable[[], str], kind: str) -> None:
    (path,) = sealed.glob(f"00001.*.{kind}")
    path.unlink()

    def read() -> None:
        segments = Segments.open(place())
        segments.columns(1)
        segments.starts(1)
        segments.read(1, "tokens", 0, 1)

    with pytest.raises(IntegrityError, match=rf"{path.name}', which segments.json names, is missing; restore"):
        read()


def test_open_finds_sizes_before_anything_is_read(sealed: Path) -> None:
    path = tokens_file(sealed, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=path.name):
        Segments.open(str(sealed))


def test_elements_that_are_not_there(sealed: Path) -> None:
    segments = Segments.open(str(sealed))
    for start, stop in ((-1, 3), (len(FLAT), len(FLAT) + 1)):
        with pytest.raises(IndexError, match="has no elements"):
            segments.read(0, "tokens", start, stop)
    with pytest.raises(TrainerError, match="has no array 'mask'"):
        segments.read(0, "mask", 0, 1)
    assert not segments.has_mask(0)


def test_no_manifest_and_wrong_ones(sealed: Path) -> None:
    manifest = sealed / "segments.json"
    told = checksum.read(str(manifest))
    manifest.write_bytes(checksum.append(told.replace(b'"format_version":3', b'"format_version":4')))
    with pytest.raises(TrainerError, match="has format 4, this version reads 3"):
        Segments.open(str(sealed))
    manifest.write_bytes(checksum.append(b"{}"))
    with pytest.raises(TrainerError, match="is no manifest of segments: Field required"):
        Segments.open(str(sealed))
    manifest.unlink()
    with pytest.raises(TrainerError, match=r"no segments.json in .*run `gristmill tokenize` again"):
        Segments.open(str(sealed))


def test_a_damaged_manifest(sealed: Path, place: Callable[[], str]) -> None:
    manifest = sealed / "segments.json"
    told = manifest.read_text()
    manifest.write_text(told.replace('"documents":3', '"documents":1'))
    folder = place()
    with pytest.raises(IntegrityError, match=rf"'{folder}/segments.json' is damaged: it has sha256 [0-9a-f]{{64}}, "):
        Segments.open(folder)


def test_views_are_not_to_be_written(sealed: Path) -> None:
    view = Segments.open(str(sealed)).read(0, "tokens", 0, 5)
    assert not view.flags.writeable
    assert not view.flags.owndata


def test_remote_blocks_are_fetched_once_and_neighbours_together(sealed: Path, http_files: Any) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    segments = Segments.open(f"{http_files.url}/sealed")
    segments.read(0, "tokens", 0, 1)
    http_files.requests.clear()
    for _ in range(3):
        segments.read(0, "tokens", 0, len(FLAT))
    name = f"sealed/{tokens_file(sealed).name}"
    assert http_files.requests == [(name, f"bytes={BLOCK_BYTES}-{2 * len(FLAT) - 1}")]
    segments.cache.rest(5)


def test_the_cache_is_bounded(sealed: Path, http_files: Any) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    segments = Segments.open(f"{http_files.url}/sealed", BlockCache(max_bytes=2 * BLOCK_BYTES))
    for at in (0, BLOCK, 2 * BLOCK, 0, BLOCK):  # the third pushes out the first, and so on
        assert segments.read(0, "tokens", at, at + 1).tolist() == FLAT[at : at + 1].tolist()
    ranges = [asked for name, asked in http_files.requests if name.endswith(".tokens")]
    assert len(ranges) == 6  # its size, and five blocks
    assert segments.cache.held_bytes == 2 * BLOCK_BYTES
    segments.cache.rest(5)


def test_threads_that_want_one_block_ask_once(sealed: Path, http_files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    segments = Segments.open(f"{http_files.url}/sealed")
    segments.read(0, "tokens", 0, 1)
    asked, go = [], threading.Event()
    real = cache.read_range

    def late(path: str, start: int, length: int) -> bytes:
        asked.append((start, length))
        go.wait(30)
        return real(path, start, length)

    monkeypatch.setattr(cache, "read_range", late)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(segments.read(0, "tokens", BLOCK, BLOCK + 5))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    other = threading.Thread(target=lambda: found.append(segments.read(0, "tokens", 2 * BLOCK, 2 * BLOCK + 5)))
    other.start()
    while len(asked) < 2:  # several in flight at once
        time.sleep(0.01)
    go.set()
    for thread in (*threads, other):
        thread.join()
    assert sorted(asked) == [(BLOCK_BYTES, BLOCK_BYTES), (2 * BLOCK_BYTES, BLOCK_BYTES)]
    assert len(found) == 5
    segments.cache.rest(5)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Path, first byte and length of what is fetched of remote arrays, as it comes."""
    asked, real = [], cache.read_range

    def counting(path: str, start: int, length: int) -> bytes:
        asked.append((path, start, length))
        return real(path, start, length)

    monkeypatch.setattr(cache, "read_range", counting)
    return asked


@pytest.mark.parametrize("place", ["http", "s3"], indirect=True)
@pytest.mark.parametrize("documents", [300_000])
def test_columns_that_are_not_asked_for_are_not_fetched(
    tmp_path: Path, place: Callable[[], str], fetched: list[tuple[str, int, int]], documents: int
) -> None:
    shutil.rmtree(tmp_path / "sealed")
    write(tmp_path / "sealed", [[np.arange(n % 5) for n in range(documents)]])
    segments = Segments.open(place())
    (size,) = (array.bytes for array in segments.manifest.segments[0].arrays if array.name == "columns")
    for _ in range(2):
        targets = segments.columns(0, ["targets"])["targets"]
        assert targets[:7].to_pylist() == [0, 0, 1, 2, 3, 0, 0]
        assert len(targets) == documents
    assert {path.rpartition(".")[2] for path, _, _ in fetched} == {"parquet"}
    starts = [start for _, start, _ in fetched]
    assert len(set(starts)) == len(starts)  # the second time they are here
    assert sum(length for _, _, length in fetched) <= 2 * BLOCK_BYTES < size / 4
    assert segments.columns(0, ["id"])["id"][-1].as_py() == f"sealed-0-{documents - 1}"
    assert sum(length for _, _, length in fetched) < size
    assert segments.columns(0).num_rows == documents
    assert sum(length for _, _, length in fetched) == size
    segments.cache.rest(5)


def test_a_failed_request_is_tried_again_by_the_next_read(sealed: Path, http_files: Any) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    segments = Segments.open(f"{http_files.url}/sealed")
    segments.read(0, "tokens", 0, 1)
    path = http_files.folder / "sealed" / tokens_file(sealed).name
    sound = path.read_bytes()
    path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        segments.read(0, "tokens", BLOCK, BLOCK + 1)
    path.write_bytes(sound)
    assert segments.read(0, "tokens", BLOCK, BLOCK + 1).tolist() == [FLAT[BLOCK]]
    segments.cache.rest(5)


def test_busy_servers_and_broken_connections(sealed: Path, http_files: Any, make_fault: Any) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    segments = Segments.open(f"{http_files.url}/sealed")
    segments.read(0, "tokens", 0, 1)
    name = f"sealed/{tokens_file(sealed).name}"
    http_files.faults[name] = [make_fault(status=503, retry_after="0"), make_fault(cut=1000)]
    assert np.array_equal(segments.read(0, "tokens", 0, len(FLAT)), FLAT)
    assert http_files.faults[name] == []
    segments.cache.rest(5)


def test_no_threads_stay(sealed: Path, http_files: Any) -> None:
    shutil.copytree(sealed, http_files.folder / "sealed")
    before = set(threading.enumerate())
    library = Library([Segments.open(f"{http_files.url}/sealed")])
    library.read(0, "tokens", 0, len(FLAT))
    library.rest(wait_s=10)
    ours = {thread.name for thread in set(threading.enumerate()) - before if "segment" in thread.name}
    assert ours == set()
    assert np.array_equal(library.read(1, "tokens", 0, 40_000), DOCUMENTS[2])  # and start again
    library.rest(wait_s=10)


def test_pickled_segments_read_alike(place: Callable[[], str]) -> None:
    segments = Segments.open(place())
    segments.read(0, "tokens", 0, 5)
    again = pickle.loads(pickle.dumps(segments))
    assert np.array_equal(again.read(0, "tokens", 0, len(FLAT)), FLAT)
    for one in (segments, again):
        one.cache.rest(5)


def test_a_library_numbers_segments_through(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / "a", [DOCUMENTS, DOCUMENTS[1:]]),
        write(tmp_path / "b", [DOCUMENTS[2:]], masks=[[np.ones(40_000)]], kind="chat"),
    ]
    library = Library([Segments.open(str(folder)) for folder in folders])
    assert len(library) == 3
    assert [library.number(folder, i) for folder, i in ((0, 0), (0, 1), (1, 0))] == [0, 1, 2]
    assert [library.has_mask(number) for number in range(3)] == [False, False, True]
    assert np.array_equal(library.read(2, "tokens", 0, 9), DOCUMENTS[2][:9])
    assert np.array_equal(library.read(1, "tokens", 0, 9), DOCUMENTS[1][:9])
    assert library.starts(2).tolist() == [0, 40_000]
    for number in (-1, 3):
        with pytest.raises(IndexError, match="there is no segment"):
            library.read(number, "tokens", 0, 1)


def test_a_library_has_one_tokenizer(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [DOCUMENTS], tokenizer=name) for name in "ab"]
    with pytest.raises(TrainerError, match=r"b' was tokenized by tokenizer b…, .*a' by a…; tokenize all data of a run"):
        Library([Segments.open(str(folder)) for folder in folders])


def test_more_arrays_than_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.segments.read._OPEN_ARRAYS", 2)
    segments = Segments.open(str(write(tmp_path / "s", [[np.arange(i + 1)] for i in range(6)])))
    views = [segments.read(i, "tokens", 0, i + 1) for i in (*range(6), *range(6))]
    assert [view.tolist() for view in views] == [list(range(i + 1)) for i in range(6)] * 2
