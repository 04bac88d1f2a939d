"""From patterns, lists and URLs to named sources."""

import gzip
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.inputs import InputsError, common_folder, dump_of, resolve, source_at, with_prefix
from curation.plan import plan
from curation.readers import FormatError, open_task
from schemas.tasks import Compression, Format, Task
from storage.errors import MissingError

LINE = b'{"text": "a"}\n'


def _files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(LINE) if name.endswith(".gz") else LINE)


def test_names_lie_below_the_common_folder(tmp_path: Path) -> None:
    _files(tmp_path, "in/x/1.jsonl", "in/x/2.jsonl.gz", "in/y/1.jsonl", "other/1.jsonl")
    given = resolve([f"{tmp_path}/in/*/*.jsonl*", f"{tmp_path}/in/x/1.jsonl"])
    assert [s.name for s in given.sources] == ["x/1.jsonl", "x/2.jsonl.gz", "y/1.jsonl"]
    assert (given.root, given.indexes) == (f"{tmp_path}/in/", ())
    one = given.sources[1]
    assert (one.path, one.size) == (f"{tmp_path}/in/x/2.jsonl.gz", len(gzip.compress(LINE)))
    assert (one.format, one.compression, one.dump) == (Format.JSONL, Compression.GZIP, "")
    assert [s.name for s in resolve([f"{tmp_path}/in/x/1.jsonl"]).sources] == ["1.jsonl"]
    both = resolve([f"{tmp_path}/in/x/1.jsonl", f"{tmp_path}/other/1.jsonl"])
    assert [s.name for s in both.sources] == ["in/x/1.jsonl", "other/1.jsonl"]


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _files(tmp_path, "1.jsonl")
    monkeypatch.chdir(tmp_path)
    assert resolve(["1.jsonl"]) == resolve([f"{tmp_path}/1.jsonl"])


@pytest.mark.parametrize("packed", [False, True])
def test_lists(tmp_path: Path, packed: bool) -> None:
    _files(tmp_path, "store/crawl-data/CC-MAIN-2024-10/1.jsonl", "store/crawl-data/CC-MAIN-2024-18/1.jsonl", "2.jsonl")
    lines = f"crawl-data/CC-MAIN-2024-10/1.jsonl\n\n# note\n/crawl-data/CC-MAIN-2024-18/1.jsonl\nfile://{tmp_path}/2.jsonl\n"
    path = tmp_path / ("warc.paths.gz" if packed else "warc.paths")
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    given = resolve([str(path)], prefix=f"{tmp_path}/store/")
    assert [(s.name, s.dump) for s in given.sources] == [
        ("/crawl-data/CC-MAIN-2024-18/1.jsonl", "CC-MAIN-2024-18"),
        ("crawl-data/CC-MAIN-2024-10/1.jsonl", "CC-MAIN-2024-10"),
        (f"file://{tmp_path}/2.jsonl", ""),
    ]
    assert {s.dump for s in resolve([str(path)], prefix=f"{tmp_path}/store", dump="mine").sources} == {"mine"}


def test_a_missing_file_of_a_list_waits_for_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another may be waited for with much patience."""
    waiting, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(path: str) -> None:
        if path.endswith("busy.jsonl"):
            waiting.set()
            go_on.wait(10)
            ended.set()
        waiting.wait(10)
        raise MissingError(f"no such file: {path!r}")

    monkeypatch.setattr("curation.inputs.info", slow)
    (tmp_path / "crawl.paths").write_text("none.jsonl\nbusy.jsonl\n")
    try:
        with pytest.raises(MissingError, match=r"none\.jsonl"):
            resolve([f"{tmp_path}/crawl.paths"], prefix="http://h")
        assert waiting.is_set()
        assert not ended.is_set()
    finally:
        go_on.set()


def test_http(http_files: Any) -> None:
    _files(http_files.folder, "d/CC-MAIN-2024-10/1.jsonl", "d/CC-MAIN-2024-10/2.jsonl.gz", "1.paths")
    (http_files.folder / "1.paths").write_text("d/CC-MAIN-2024-10/1.jsonl\nd/CC-MAIN-2024-10/2.jsonl.gz\n")
    for pattern in (
        [f"{http_files.url}/1.paths"],
        [f"{http_files.url}/d/CC-MAIN-2024-10/{n}" for n in ("1.jsonl", "2.jsonl.gz")],
    ):
        given = resolve(pattern, prefix=http_files.url)
        assert [s.name.rpartition("/")[2] for s in given.sources] == ["1.jsonl", "2.jsonl.gz"]
        assert {s.dump for s in given.sources} == {"CC-MAIN-2024-10"}
        for source in given.sources:
            (page,) = open_task(Task("", 0, source, 0, 2**63 - 1, exact=True))
            assert (page.body, page.dump) == (b"a", "CC-MAIN-2024-10")
    with pytest.raises(MissingError, match="nowhere"):
        resolve([f"{http_files.url}/nowhere.jsonl"])


def test_s3(s3: Any, tmp_path: Path) -> None:
    import s3fs

    store = s3fs.S3FileSystem(endpoint_url=s3.endpoint)
    for name in ("x/1.jsonl", "x/2.jsonl.gz", "y/3.txt"):
        store.pipe(f"{s3.bucket}/{name}", gzip.compress(LINE) if name.endswith(".gz") else LINE)
    given = resolve([f"{s3.url}/*/*.jsonl*"])
    assert [(s.path, s.name) for s in given.sources] == [
        (f"{s3.url}/x/1.jsonl", "1.jsonl"),
        (f"{s3.url}/x/2.jsonl.gz", "2.jsonl.gz"),
    ]
    assert all(s.etag and s.size for s in given.sources)
    bodies = [page.body for s in given.sources for page in open_task(Task("", 0, s, 0, 2**63 - 1, exact=True))]
    assert bodies == [b"a", b"a"]


def test_what_can_not_be_read(tmp_path: Path) -> None:
    _files(tmp_path, "1.jsonl", "a.txt")
    (tmp_path / "a.txt").write_text("<html>")
    (tmp_path / "empty.paths").write_text("\n# none\n")
    (tmp_path / "bad.paths.gz").write_bytes(b"no gzip")
    (tmp_path / "same.paths").write_text("1.jsonl\n")
    cases = {
        (): "no input: give files",
        ("a.txt",): r"a\.txt: of no format known here",
        ("empty.paths",): r"empty\.paths' names no file",
        ("bad.paths.gz",): r"bad\.paths\.gz' can't be read",
        ("1.jsonl", "same.paths"): r"two inputs share the name '1\.jsonl'",
    }
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "1.jsonl").write_bytes(LINE)
    for names, message in cases.items():
        with pytest.raises(InputsError, match=message):
            resolve([str(tmp_path / name) for name in names], prefix=f"{tmp_path}/below")
    with pytest.raises(InputsError, match=r"the condition 'a = 1' \(--where\) selects rows of an index"):
        resolve([f"{tmp_path}/1.jsonl"], where="a = 1")
    with pytest.raises(InputsError, match=rf"^'{tmp_path}/below' is a folder; give its files by a glob such as "):
        resolve([f"{tmp_path}/below"])
    for pattern in ("none.jsonl", "none*.jsonl"):
        with pytest.raises(MissingError, match="none"):
            resolve([f"{tmp_path}/{pattern}"])


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read everything."""
    _files(tmp_path, "1.jsonl", "2.jsonl")
    monkeypatch.setattr("curation.inputs.os.access", lambda path, mode: not path.endswith("2.jsonl"))
    with pytest.raises(InputsError, match=rf"^cannot read '{tmp_path}/2.jsonl': its permissions do not allow it; "):
        resolve([f"{tmp_path}/*"])
    monkeypatch.setattr("storage.paths.Path.stat", _denied)
    with pytest.raises(InputsError, match=rf"^cannot find '{tmp_path}/1.jsonl': not allowed .*; check its permissions"):
        resolve([f"{tmp_path}/1.jsonl"])


def _denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_index_is_told_from_text_by_its_columns(tmp_path: Path) -> None:
    place = {"warc_filename": ["a"], "warc_record_offset": [0], "warc_record_length": [1]}
    pq.write_table(pa.table(place), tmp_path / "1.parquet")
    pq.write_table(pa.table({**place, "text": ["a"]}), tmp_path / "2.parquet")
    given = resolve([f"{tmp_path}/*.parquet"], where="warc_record_offset = 0")
    assert [s.name for s in given.sources] == ["1.parquet", "2.parquet"]
    assert [s.name for s in given.indexes] == ["1.parquet"]


def test_a_file_that_is_no_parquet_stops_nobody_else(tmp_path: Path) -> None:
    _files(tmp_path, "1.jsonl", "2.parquet", "3.parquet")
    (tmp_path / "2.parquet").write_bytes(b"PAR1 and no footer")
    (tmp_path / "3.parquet").write_bytes(b"")
    given = resolve([f"{tmp_path}/*"])
    assert (len(given.sources), given.indexes) == (3, ())
    tasks = plan(given, "")
    assert [(task.source.name, task.start) for task in tasks] == [("1.jsonl", 0), ("2.parquet", 0), ("3.parquet", 0)]
    for task in tasks[1:]:
        with pytest.raises(FormatError, match=rf"{task.source.name}: not readable as Parquet"):
            list(open_task(task))


@pytest.mark.parametrize("name", [b"zz\xff.jsonl", b"\xff/a.jsonl"])
def test_a_name_that_is_no_utf8(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(LINE)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for pattern in (str(path), f"{tmp_path}/**/*.jsonl"):
        with pytest.raises(InputsError, match=r"udcff.*not UTF-8.*rename it") as caught:
            resolve([pattern])
        str(caught.value).encode()


def test_dump_of() -> None:
    cases = {
        "s3://b/crawl-data/CC-MAIN-2024-10/segments/1/warc/CC-MAIN-20240220211055-00000.warc.gz": "CC-MAIN-2024-10",
        "crawl=CC-MAIN-2008-2009/x": "CC-MAIN-2008-2009",
        "CC-MAIN-20240220211055-20240221001055-00000.warc.gz": "",
        "CC-MAIN-2024-100000": "",
    }
    for path, dump in cases.items():
        assert dump_of(path) == dump, path


def test_common_folder() -> None:
    cases = {
        (): "",
        ("/a/b/c",): "/a/b/",
        ("/a/b/c", "/a/bc/d"): "/a/",
        ("/a/b/c", "/a/b/c/d", "/a/b/e"): "/a/b/",
        ("s3://b/x/1", "s3://b/y/1"): "s3://b/",
        ("s3://b/1", "/a/1"): "",
    }
    for paths, folder in cases.items():
        assert common_folder(paths) == folder, paths


def test_with_prefix() -> None:
    cases = {
        ("https://h/", "a/b"): "https://h/a/b",
        ("https://h", "/a/b"): "https://h/a/b",
        ("https://h/", "s3://b/c"): "s3://b/c",
        ("", "a/b"): "a/b",
    }
    for (prefix, line), path in cases.items():
        assert with_prefix(prefix, line) == path


def test_source_at(tmp_path: Path) -> None:
    _files(tmp_path, "CC-MAIN-2024-10/1.jsonl")
    source = source_at(f"{tmp_path}/CC-MAIN-2024-10/1.jsonl")
    assert (source.name, source.dump) == ("1.jsonl", "CC-MAIN-2024-10")
