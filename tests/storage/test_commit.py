"""Atomic writes: whole or not there, by name of their content, first come first served, and no room told plainly."""

import hashlib
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import commit, paths
from storage.copies import place
from storage.errors import StorageError
from storage.hashed import HashedFile
from tests.small_disk import small_disk

ROOT = Path(__file__).parents[2]
_count = itertools.count()


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder that does not exist yet, in each store that can hold output."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3').url}/out"
    elif request.param == "memory":
        yield f"memory://c{next(_count)}"
    else:
        yield str(tmp_path / "out")


def content(path: str) -> bytes:
    with paths.open_read(path) as file:
        return file.read()


def parts(*data: bytes) -> Any:
    def write(file: BinaryIO) -> None:
        for part in data:
            file.write(part)

    return write


def test_the_name_tells_the_content(folder: str) -> None:
    done = commit.write_hashed(folder, "task.docs", ".bin", parts(b"grist", b"", b"mill"))
    sha256 = hashlib.sha256(b"gristmill").hexdigest()
    assert done == commit.Committed(f"task.docs.{sha256[:16]}.bin", sha256, 9)
    assert paths.listdir(folder) == [done.name]
    path = paths.join(folder, done.name)
    assert content(path) == b"gristmill"
    assert commit.sha256_file(path) == sha256
    assert commit.write_hashed(folder, "task.docs", ".bin", parts(b"gristmill")) == done
    assert paths.listdir(folder) == [done.name]


def test_an_empty_file_stands_too(folder: str) -> None:
    done = commit.write_hashed(folder, "x", "", parts())
    assert (done.bytes, content(paths.join(folder, done.name))) == (0, b"")


def test_arrow_writes_and_reads_it(folder: str) -> None:
    table = pa.table({"text": ["one", "two"] * 5000, "n": range(10_000)})
    done = commit.write_hashed(folder, "x", ".parquet", lambda file: pq.write_table(table, file))
    with paths.open_read(paths.join(folder, done.name)) as file, pq.ParquetFile(file) as parquet:
        assert parquet.read().equals(table)


def test_a_hashed_file_lives_longer_than_a_call(folder: str) -> None:
    table = pa.table({"n": range(1000)})
    with HashedFile(folder, "x", ".parquet") as file:
        with pq.ParquetWriter(file, table.schema) as writer:
            writer.write_table(table)
            writer.write_table(table)
        done = file.commit()
    assert paths.listdir(folder) == [done.name]
    with paths.open_read(paths.join(folder, done.name)) as held:
        assert pq.read_table(held).num_rows == 2000


def test_what_is_not_committed_leaves_nothing(folder: str) -> None:
    with HashedFile(folder, "x", ".bin") as file:
        file.write(b"x" * 3_000_000)
        assert file.tell() == 3_000_000
    assert paths.listdir(folder) == []


def test_a_writer_that_fails_leaves_nothing(folder: str) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        commit.write_hashed(folder, "x", ".bin", write)
    assert paths.listdir(folder) == []


def test_a_damaged_file_under_the_name_is_replaced(tmp_path: Path) -> None:
    done = commit.write_hashed(str(tmp_path), "x", ".bin", parts(b"whole"))
    (tmp_path / done.name).write_bytes(b"wh")
    commit.write_hashed(str(tmp_path), "x", ".bin", parts(b"whole"))
    assert (tmp_path / done.name).read_bytes() == b"whole"


def test_stores_that_may_show_half_a_file_take_no_output() -> None:
    for write in (
        lambda path: commit.write_hashed(path, "x", "", parts(b"x")),
        lambda path: commit.replace_atomic(path, b"x"),
    ):
        with pytest.raises(StorageError, match="output goes to a local folder, s3://"):
            write("http://127.0.0.1:9/out")
    with pytest.raises(StorageError, match="markers need a store"):
        commit.create_exclusive("http://127.0.0.1:9/out", b"x")


def test_replace(folder: str) -> None:
    path = paths.join(folder, "deep", "x.json")
    for data in (b"one", b"three", b""):
        commit.replace_atomic(path, data)
        assert content(path) == data
    assert paths.listdir(paths.join(folder, "deep")) == ["x.json"]


def test_the_first_creation_wins(folder: str) -> None:
    path = paths.join(folder, "marker")
    assert commit.create_exclusive(path, b"first") is True
    assert commit.create_exclusive(path, b"second") is False
    assert content(path) == b"first"
    assert paths.listdir(folder) == ["marker"]
    paths.remove(path)
    assert commit.create_exclusive(path, b"third") is True


@pytest.mark.parametrize("store", ["local", "s3"])
def test_of_many_creators_one_wins(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = str(tmp_path) if store == "local" else request.getfixturevalue("s3").url
    for race in range(10):
        path = f"{folder}/marker-{race}"
        ready = threading.Barrier(4)
        won: list[bytes] = []

        def create(me: bytes, path: str = path, ready: threading.Barrier = ready, won: list[bytes] = won) -> None:
            ready.wait()
            if commit.create_exclusive(path, me):
                won.append(me)

        threads = [threading.Thread(target=create, args=(str(n).encode() * 1000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [content(path)]


def test_swap_needs_the_old_content(folder: str) -> None:
    path = paths.join(folder, "x")
    commit.replace_atomic(path, b"one")
    assert commit.swap(path, b"other", b"two") is False
    assert content(path) == b"one"
    assert commit.swap(path, b"one", b"two") is True
    assert content(path) == b"two"
    paths.remove(path)
    assert commit.swap(path, b"two", b"three") is False
    assert not paths.exists(path)


def test_swap_on_s3_is_refused_by_the_store(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes between the comparison and the write."""
    path = f"{s3.url}/x"
    commit.replace_atomic(path, b"one")
    compare = commit._content

    def meddle(at: str) -> bytes | None:
        found = compare(at)
        commit.replace_atomic(at, b"meddled")
        return found

    monkeypatch.setattr(commit, "_content", meddle)
    assert commit.swap(path, b"one", b"two") is False
    assert content(path) == b"meddled"


def test_a_large_upload_comes_whole(s3: Any) -> None:
    data = os.urandom(1000) * 12_000
    done = commit.write_hashed(s3.url, "x", ".bin", parts(data[:5_000_000], data[5_000_000:]))
    assert paths.info(paths.join(s3.url, done.name)).size == len(data)
    assert commit.sha256_file(paths.join(s3.url, done.name)) == hashlib.sha256(data).hexdigest()


def test_place_gives_another_name(folder: str, tmp_path: Path) -> None:
    here = str(tmp_path / "here")
    commit.replace_atomic(here, b"x")
    other = "memory://place/o"
    for source, target in (
        (here, paths.join(folder, "a")),
        (paths.join(folder, "a"), paths.join(folder, "deep", "b")),
        (paths.join(folder, "deep", "b"), other),
        (other, paths.join(folder, "c")),
        (paths.join(folder, "c"), str(tmp_path / "d")),
    ):
        place(source, target)
        place(source, target)
        assert content(target) == b"x"
    assert paths.listdir(folder) == ["a", "c", "deep"]
    commit.replace_atomic(here, b"new")
    place(here, paths.join(folder, "a"))
    assert content(paths.join(folder, "a")) == b"new"
    with pytest.raises(StorageError, match="gone"):
        place(str(tmp_path / "gone"), paths.join(folder, "a"))
    assert content(paths.join(folder, "a")) == b"new"


def test_killed_writers_leave_only_what_the_sweep_finds(tmp_path: Path) -> None:
    script = (
        "import sys, time; from storage.commit import write_hashed\n"
        "def write(file):\n file.write(b'x' * 3_000_000); print('half', flush=True); time.sleep(60)\n"
        f"write_hashed({str(tmp_path)!r}, 'x', '.bin', write)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, env=_env())
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "kept.bin").write_bytes(b"x")
    assert len(list(tmp_path.iterdir())) == 2
    assert commit.sweep_temporary(str(tmp_path)) == 1
    assert [place.name for place in tmp_path.iterdir()] == ["kept.bin"]
    assert commit.sweep_temporary("memory://nowhere") == 0


def _env() -> dict[str, str]:
    return {**{key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}, "PYTHONPATH": str(ROOT)}


NO_ROOM = {
    "hashed": lambda folder: commit.write_hashed(folder, "new", ".bin", parts(*[b"x" * 100_000] * 50)),
    "hashed_in_the_buffer": lambda folder: commit.write_hashed(folder, "new", ".bin", parts(b"x" * 900_000)),
    "replace": lambda folder: commit.replace_atomic(f"{folder}/old", b"x" * 3_000_000),
    "create": lambda folder: commit.create_exclusive(f"{folder}/new", b"x" * 3_000_000),
}


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB with 256 KiB left, `old` on it."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "old").write_bytes(b"old")
        (disk / "rest").write_bytes(bytes(760_000))
        yield disk


@pytest.mark.parametrize("case", ["hashed", "hashed_in_the_buffer", "replace", "create"])
def test_a_full_disk_is_one_clear_line(full_disk: Path, case: str) -> None:
    with pytest.raises(StorageError) as caught:
        NO_ROOM[case](str(full_disk))
    _told(caught.value, full_disk)
    assert sorted(place.name for place in full_disk.iterdir()) == ["old", "rest"]
    assert (full_disk / "old").read_bytes() == b"old"
    (full_disk / "rest").unlink()
    assert commit.write_hashed(str(full_disk), "new", ".bin", parts(b"x" * 100_000)).bytes == 100_000


def test_arrow_meets_a_full_disk(full_disk: Path) -> None:
    table = pa.table({"a": [os.urandom(1000) for _ in range(3000)]})
    with pytest.raises(StorageError) as caught:
        commit.write_hashed(str(full_disk), "new", ".parquet", lambda file: pq.write_table(table, file))
    _told(caught.value, full_disk)
    assert sorted(place.name for place in full_disk.iterdir()) == ["old", "rest"]


def _told(error: StorageError, folder: Path) -> None:
    told = str(error)
    assert "\n" not in told
    assert "no space left to write" in told
    assert str(folder) in told
    assert "bytes wanted so far" in told
    assert told.endswith("free space and run the same command again; nothing committed is lost")


def test_a_file_size_limit_is_told_as_no_space(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StorageError, match="no space left to write") as caught:
            commit.write_hashed(str(tmp_path), "new", ".bin", parts(*[b"x" * 100_000] * 30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, heard)
    _told(caught.value, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_temporary_file_of_an_upload(full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(full_disk))
    with pytest.raises(StorageError, match=r"no space left .*memory://full") as caught:
        commit.write_hashed("memory://full", "new", ".bin", parts(b"x" * 3_000_000))
    _told(caught.value, full_disk)
    assert paths.listdir("memory://full") == []
