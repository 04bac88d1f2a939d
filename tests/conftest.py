"""Real stores for tests: an S3 server (moto's) and an HTTP server with ranges that fails when told to."""

import functools
import re
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage.stores import remote
from tests.once import once

if TYPE_CHECKING:
    from tests.runs import Finished, Sample
    from tests.trainer.nano import Made


LONG = ("curation", "engines", "service", "trainer")
"""Folders of long files, in the order in which they begin; short files come last, so that all cores end together."""


def pytest_configure() -> None:
    """A shell that starts the tests in the background has interrupts ignored, in children too; some are about them."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of the long folders first."""
    top = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(top).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the next answer for a file does instead of serving it whole."""

    status: int = 0
    """Answers with this status; 0 serves, as far as `cut` allows."""
    retry_after: str = ""
    cut: int = -1
    """Bytes of the body before the connection breaks."""
    short: int = -1
    """Bytes that are served of a range, and said to be all."""


@dataclass
class HttpFiles:
    """A server of the files in `folder`: `url/name`, with ranges and ETags."""

    folder: Path
    url: str = ""
    ranges: bool = True
    lengths: bool = True
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By name; each answer takes one from the front. `*` is for every name."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(name, Range header) of each request."""
    etags: dict[str, str] = field(default_factory=dict)

    def next_fault(self, name: str) -> Fault:
        """Takes the next one."""
        waiting = self.faults.get(name) or self.faults.get("*") or []
        return waiting.pop(0) if waiting else Fault()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: HttpFiles

    def do_GET(self) -> None:
        name = self.path.lstrip("/").partition("?")[0]
        self.files.requests.append((name, self.headers.get("Range", "")))
        fault = self.files.next_fault(name)
        place = self.files.folder / name
        place = place / "index.html" if place.is_dir() else place
        if fault.status:
            self._empty(fault.status, {"Retry-After": fault.retry_after} if fault.retry_after else {})
        elif not place.is_file():
            self._empty(404, {})
        else:
            self._serve(name, place.read_bytes(), fault, "text/html" if place.suffix == ".html" else "")

    def _serve(self, name: str, body: bytes, fault: Fault, content_type: str) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.files.ranges else None
        first = int(found[1]) if found else 0
        last = min(int(found[2]) if found and found[2] else len(body) - 1, len(body) - 1)
        if found and first >= len(body):
            self._empty(416, {"Content-Range": f"bytes */{len(body)}"})
            return
        if found and fault.short >= 0:
            last = min(last, first + fault.short - 1)
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        part = body[first : last + 1]
        if self.files.lengths:
            self.send_header("Content-Length", str(len(part)))
        self.close_connection = fault.cut >= 0 or not self.files.lengths
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("ETag", self.files.etags.get(name, f'"{len(body)}-{hash(body)}"'))
        self.end_headers()
        try:
            self.wfile.write(part if fault.cut < 0 else part[: fault.cut])
        except ConnectionError:  # the client has seen enough
            self.close_connection = True
        if fault.cut >= 0:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _empty(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """Silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


@pytest.fixture
def make_fault() -> type[Fault]:
    """The class, which tests cannot import from here."""
    return Fault


@pytest.fixture
def http_files(tmp_path: Path) -> Iterator[HttpFiles]:
    """A running server of an empty folder."""
    folder = tmp_path / "http"
    folder.mkdir()
    files = HttpFiles(folder)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    files.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield files
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class S3:
    """A bucket of a local S3 server."""

    endpoint: str
    bucket: str

    @property
    def url(self) -> str:
        """`s3://bucket`."""
        return f"s3://{self.bucket}"


@pytest.fixture(scope="session")
def _s3_endpoint() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="moto's S3 server is not installed (pip install 'moto[server]')")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    for client in s3fs.S3FileSystem._cache.values():  # else each is an unclosed session at exit
        if client._s3 is not None:
            s3fs.S3FileSystem.close_session(client.loop, client._s3)
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def s3(_s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A fresh bucket; the environment leads every client of this process and its children there."""
    for key, value in {
        "AWS_ENDPOINT_URL": _s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(key, value)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    client, _ = remote(f"s3://{bucket}")
    client.mkdir(bucket)
    yield S3(_s3_endpoint, bucket)
    client.rm(bucket, recursive=True)


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this session share; see `once`."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def sample(shared: Path) -> "Sample":
    """The built-in crawl, 150 pages of it. Not to be changed."""
    from service.sample import write_sample  # Beam is slow to import, and few tests need it
    from tests.runs import Sample

    def make(folder: Path) -> Sample:
        with pytest.MonkeyPatch.context() as patch:
            # a page of three megabytes, which the engine matrix has, would be most of every run's time
            patch.setattr("service.sample.broken.HUGE", 300_000)
            return Sample(folder, write_sample(folder, pages=150))

    return once(shared / "sample", make)


@pytest.fixture(scope="session")
def fineweb(sample: "Sample", shared: Path) -> "Finished":
    """The sample's run by `fineweb`. Not to be changed."""
    from tests.runs import finish

    return once(shared / "fineweb", lambda folder: finish("fineweb", sample, folder / "out"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> "Made":
    """A run of the trainer's smallest recipe. Not to be changed."""
    from tests.trainer import nano  # torch is slow to import, and few tests need it

    top = tmp_path_factory.mktemp("tiny")
    made = nano.Made(top / "out", nano.corpus(top / "data", 200), top / "segments")
    assert made.go(nano.spec())
    return made


@pytest.fixture(scope="session")
def nano_run(shared: Path) -> "Callable[[str], Made]":
    """A run of a recipe of pipelines.yaml by its name, on data such as `tiny`'s. Not to be changed."""
    from tests.trainer import nano  # as above

    @functools.cache
    def run(name: str) -> nano.Made:
        data = once(shared / "nano-data", lambda folder: nano.corpus(folder, 200))
        init = str(run("llama3.1-nano").output) if name == "sft-dpo-nano" else ""

        def make(folder: Path) -> nano.Made:
            made = nano.Made(folder / "out", data, folder / "segments")
            assert made.go(nano.recipe(name), init=init)
            return made

        return once(shared / name, make)

    return run
