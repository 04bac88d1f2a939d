"""Paths: one behaviour for local files, HTTP, S3 and memory."""

import gzip
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import paths
from storage.errors import DeniedError, MissingError, PathError, StorageError
from storage.retry import Backoff

BODY = bytes(itertools.islice(itertools.cycle(range(251)), 700_001))
QUICK = Backoff(attempts=4, sleep=lambda _: None)
_count = itertools.count()


@pytest.fixture(params=["local", "file", "memory", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder in each writable store."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3').url}/in"
    elif request.param == "memory":
        yield f"memory://t{next(_count)}"
    else:
        yield str(tmp_path / "in") if request.param == "local" else f"file://{tmp_path}/in"


def put(path: str, data: bytes) -> None:
    from storage.commit import replace_atomic

    replace_atomic(path, data)


def test_reads_like_a_file(base: str) -> None:
    path = paths.join(base, "a", "x.bin")
    put(path, BODY)
    with paths.open_read(path) as file:
        assert file.seekable()
        assert file.read(10) == BODY[:10]
        assert file.seek(-7, 2) == len(BODY) - 7
        assert file.read() == BODY[-7:]
        assert file.read() == b""
        assert file.seek(300_000) == 300_000
        assert file.read(400_000) == BODY[300_000:700_000]
        assert file.seek(1_000_000) == 1_000_000
        assert file.read(1) == b""


RANGES = {
    "head": (0, 4),
    "middle": (100, 50),
    "nothing": (5, 0),
    "to_the_end": (len(BODY) - 3, 3),
    "past_the_end": (len(BODY) - 3, 10),
    "at_the_end": (len(BODY), 10),
    "beyond": (len(BODY) + 9, 10),
}


@pytest.mark.parametrize("case", RANGES)
def test_read_range(base: str, case: str) -> None:
    start, length = RANGES[case]
    path = paths.join(base, "x.bin")
    put(path, BODY)
    assert paths.read_range(path, start, length) == BODY[start : start + length]


@pytest.mark.parametrize("case", RANGES)
def test_read_range_over_http(http_files: Any, case: str) -> None:
    start, length = RANGES[case]
    (http_files.folder / "x.bin").write_bytes(BODY)
    assert paths.read_range(f"{http_files.url}/x.bin", start, length) == BODY[start : start + length]
    assert all(asked.startswith("bytes=") for _, asked in http_files.requests)


def test_a_range_costs_its_own_bytes_only(http_files: Any) -> None:
    (http_files.folder / "x.bin").write_bytes(BODY)
    paths.read_range(f"{http_files.url}/x.bin", 100, 50)
    assert http_files.requests == [("x.bin", "bytes=100-149")]


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (0, -1)])
def test_negative_ranges_are_refused(start: int, length: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        paths.read_range("/tmp/x", start, length)


def test_http_reads_like_a_file(http_files: Any) -> None:
    (http_files.folder / "x.bin").write_bytes(BODY)
    with paths.open_read(f"{http_files.url}/x.bin") as file:
        assert file.read(10) == BODY[:10]
        assert file.seek(-7, 2) == len(BODY) - 7
        assert file.read() == BODY[-7:]
        assert file.seek(5) == 5
        assert file.read() == BODY[5:]


def test_http_reads_an_empty_file(http_files: Any) -> None:
    (http_files.folder / "x.bin").write_bytes(b"")
    with paths.open_read(f"{http_files.url}/x.bin") as file:
        assert file.read() == b""
    assert paths.info(f"{http_files.url}/x.bin").size == 0


@pytest.mark.parametrize("lengths", [True, False])
def test_http_without_ranges_still_reads(http_files: Any, lengths: bool) -> None:
    http_files.ranges, http_files.lengths = False, lengths
    (http_files.folder / "x.bin").write_bytes(BODY)
    url = f"{http_files.url}/x.bin"
    with paths.open_read(url) as file:
        assert file.read() == BODY
    assert paths.read_range(url, 1000, 5) == BODY[1000:1005]
    assert paths.info(url).size == (len(BODY) if lengths else 0)


def test_http_without_ranges_refuses_what_is_far_in(http_files: Any) -> None:
    http_files.ranges = False
    (http_files.folder / "x.bin").write_bytes(BODY)
    with pytest.raises(StorageError, match="does not serve byte ranges"):
        paths.read_range(f"{http_files.url}/x.bin", 17 * 2**20, 5)


def test_stored_bytes_come_as_they_are(http_files: Any) -> None:
    packed = gzip.compress(b"x" * 1000)
    (http_files.folder / "x.gz").write_bytes(packed)
    with paths.open_read(f"{http_files.url}/x.gz") as file:
        assert file.read() == packed


def test_info_tells_size_and_a_tag_that_follows_the_content(base: str) -> None:
    path = paths.join(base, "x.bin")
    put(path, b"one")
    before = paths.info(path)
    put(path, b"three")
    after = paths.info(path)
    assert (before.size, after.size) == (3, 5)
    assert before.etag
    assert after.etag != before.etag
    assert paths.info(after.path) == after


def test_missing_files_are_named(base: str) -> None:
    put(paths.join(base, "there"), b"")
    for ask in (paths.info, paths.expand, lambda path: paths.read_range(path, 0, 1)):
        with pytest.raises(MissingError, match=r"not-there\.warc"):
            ask(paths.join(base, "not-there.warc"))
    assert not paths.exists(paths.join(base, "not-there.warc"))
    with pytest.raises(MissingError, match=r"nothing-\*\.warc"):
        paths.expand(paths.join(base, "nothing-*.warc"))


def test_missing_over_http_is_final_at_once(http_files: Any) -> None:
    for ask in (paths.info, paths.expand, lambda path: paths.read_range(path, 0, 1)):
        with pytest.raises(MissingError, match=r"not-there\.warc"):
            ask(f"{http_files.url}/not-there.warc")
    assert not paths.exists(f"{http_files.url}/not-there.warc")
    assert len(http_files.requests) == 4


def test_expand_sorts_and_leaves_folders_out(base: str) -> None:
    for name in ("b.gz", "a.gz", "c.txt", "deep/d.gz", "deep/er/e.gz", "f.gz/inside.txt"):
        put(paths.join(base, name), name.encode())

    def names(pattern: str) -> list[str]:
        return [paths.relative(found.path, base) for found in paths.expand(paths.join(base, pattern))]

    assert names("*.gz") == ["a.gz", "b.gz"]
    assert names("**/*.gz") == ["a.gz", "b.gz", "deep/d.gz", "deep/er/e.gz"]
    assert names("[ac].*") == ["a.gz", "c.txt"]
    assert names("a.gz") == ["a.gz"]
    assert [found.size for found in paths.expand(paths.join(base, "?.gz"))] == [4, 4]


def test_a_folder_is_an_error_that_says_to_use_a_glob(base: str) -> None:
    put(paths.join(base, "deep", "d.gz"), b"x")
    with pytest.raises(PathError, match=r"folder.*glob"):
        paths.expand(paths.join(base, "deep"))


def test_local_names_with_glob_characters_are_files(tmp_path: Path) -> None:
    place = tmp_path / "a[1].gz"
    place.write_bytes(b"x")
    assert [found.path for found in paths.expand(str(place))] == [str(place)]


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("storage.paths.Path.is_file", denied)
    with pytest.raises(DeniedError, match=rf"^cannot list '{tmp_path}/\*': not allowed .*; check its permissions"):
        paths.expand(f"{tmp_path}/*")


def test_http_has_no_globs(http_files: Any) -> None:
    with pytest.raises(StorageError, match="name each file"):
        paths.expand(f"{http_files.url}/*.gz")
    (http_files.folder / "x.gz").write_bytes(b"x")
    assert [found.size for found in paths.expand(f"{http_files.url}/x.gz?versionId=1")] == [1]


def test_listing_and_removing(base: str) -> None:
    assert paths.listdir(base) == []
    for name in ("b", "a", "deep/c"):
        put(paths.join(base, name), b"x")
    assert paths.listdir(base) == ["a", "b", "deep"]
    paths.remove(paths.join(base, "a"))
    paths.remove(paths.join(base, "a"))
    assert paths.listdir(base) == ["b", "deep"]
    assert paths.exists(base)
    paths.remove_tree(base)
    paths.remove_tree(base)
    assert paths.listdir(base) == []
    assert not paths.exists(paths.join(base, "deep", "c"))


def test_roots_are_never_removed(s3: Any) -> None:
    for root in ("/", str(Path.home()), ".", s3.url):
        with pytest.raises(StorageError, match="will not remove"):
            paths.remove_tree(root)


def test_http_is_read_only() -> None:
    for change in (paths.listdir, paths.remove, paths.remove_tree):
        with pytest.raises(StorageError, match="read only"):
            change("http://127.0.0.1:9/x")


def test_unknown_protocols_are_named() -> None:
    with pytest.raises(StorageError, match=r"'xyz://a/b'.*known are"):
        paths.info("xyz://a/b")
    with pytest.raises(StorageError, match="no path"):
        paths.info("")


def test_without_credentials_s3_says_so(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{s3.endpoint}/")  # another client than that of the other tests
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials"):
        paths.info(f"{s3.url}/x")


JOINS = {
    "one": ("/a", ("b",), "/a/b"),
    "deep": ("s3://bucket/a/", ("b/c", "d.gz"), "s3://bucket/a/b/c/d.gz"),
    "none": ("a", (), "a"),
    "dots_in_names": ("a", ("b..c",), "a/b..c"),
    "absolute": ("/a", ("/etc/passwd",), None),
    "climbing": ("/a", ("b/../../c",), None),
    "parent": ("/a", ("..",), None),
    "url": ("/a", ("s3://other/b",), None),
    "nul": ("/a", ("b\0c",), None),
}


@pytest.mark.parametrize("case", JOINS)
def test_join_stays_below(case: str) -> None:
    base, parts, joined = JOINS[case]
    if joined is None:
        with pytest.raises(StorageError, match="does not stay below"):
            paths.join(base, *parts)
    else:
        assert paths.join(base, *parts) == joined


RELATIVES = {
    "local": ("/a/b/c.gz", "/a", "b/c.gz"),
    "slash": ("/a/b/c.gz", "/a/", "b/c.gz"),
    "file": ("file:///a/b", "/a", "b"),
    "s3": ("s3://x/a/b", "s3://x/a", "a/b"[2:]),
    "http": ("https://h/a/b", "https://h", "a/b"),
    "sibling": ("/ab/c", "/a", None),
    "itself": ("/a", "/a", None),
    "climbing": ("/a/../b", "/a", None),
}


@pytest.mark.parametrize("case", RELATIVES)
def test_relative(case: str) -> None:
    path, base, name = RELATIVES[case]
    if name is None:
        with pytest.raises(StorageError, match="not below"):
            paths.relative(path, base)
    else:
        assert paths.relative(path, base) == name


def test_is_local() -> None:
    assert [paths.is_local(path) for path in ("a", "/a", "~/a", "file:///a", "C:x")] == [True] * 5
    assert [paths.is_local(path) for path in ("s3://a/b", "http://a", "memory://a")] == [False] * 3


@pytest.mark.parametrize("label", ["kor_Hang", "CC-MAIN-2024-10", "a.b", "x" * 100, "a=b", "_"])
def test_plain_labels_stay(label: str) -> None:
    assert paths.safe_name(label) == label


@pytest.mark.parametrize(
    "label", ["", ".", "..", "../x", "-rf", "a/b", "a\0b", "한국어", "x" * 101, "a~b", "a b", "\ud800"]
)
def test_other_labels_are_marked(label: str) -> None:
    name = paths.safe_name(label)
    assert "~" in name
    assert paths.safe_name(label) == name


@given(st.text(), st.text())
def test_names_stay_in_their_folder_and_apart(one: str, other: str) -> None:
    name = paths.safe_name(one)
    assert name
    assert "/" not in name
    assert name[0] not in ".-"
    assert len(name.encode()) <= 100
    assert (name == paths.safe_name(other)) == (one == other)


LOCAL_WORK = """
import sys
from pathlib import Path
from storage import commit, copies, paths
from storage.errors import StorageError
from storage.registry import Registry
folder = sys.argv[1]
commit.replace_atomic(f"{folder}/a", b"a")
copies.place(f"{folder}/a", f"{folder}/b")
paths.read_range(f"{folder}/b", 0, 1)
Registry().resolve(f"{folder}/b", expected=commit.sha256_file(f"{folder}/a"))
try:
    commit.replace_atomic(f"{folder}/a/under/a/file", b"")
except StorageError as error:
    print(type(error.__cause__).__name__)
print(*{"aiohttp", "botocore", "fsspec", "requests", "urllib3"} & set(sys.modules))
"""


def test_work_on_local_files_loads_no_client(tmp_path: Path) -> None:
    """Not where it fails, either."""
    found = subprocess.run(
        [sys.executable, "-c", LOCAL_WORK, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    assert found.stdout.decode().split("\n") == ["NotADirectoryError", "", ""]
