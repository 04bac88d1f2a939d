"""Patience: what is tried again, how long it waits, and that nothing is read twice or left out."""

import email.utils
import errno
import io
import itertools
import logging
import re
import socket
import time
from http.client import IncompleteRead
from typing import Any

import aiohttp
import botocore.exceptions
import pytest
import requests
import urllib3

from storage import paths
from storage.errors import ChangedError, MissingError, PathError, StatusError, StorageError, UnreachedError
from storage.resume import ResumingReader
from storage.retry import Backoff, may_pass, transient

BODY = bytes(itertools.islice(itertools.cycle(range(251)), 900_001))

TRANSIENT = {
    "206": (StatusError("x", 206), True),
    "403": (StatusError("x", 403), True),
    "408": (StatusError("x", 408), True),
    "429": (StatusError("x", 429), True),
    "500": (StatusError("x", 500), True),
    "502": (StatusError("x", 502), True),
    "503": (StatusError("x", 503), True),
    "504": (StatusError("x", 504), True),
    "401": (StatusError("x", 401), False),
    "501": (StatusError("x", 501), False),
    "404": (MissingError("x"), False),
    "own": (StorageError("x"), False),
    "timeout": (TimeoutError("x"), True),
    "reset": (ConnectionResetError("x"), True),
    "requests_connection": (requests.ConnectionError("x"), True),
    "requests_timeout": (requests.ReadTimeout("x"), True),
    "requests_tls": (requests.exceptions.SSLError("x"), False),
    "requests_url": (requests.exceptions.InvalidURL("x"), False),
    "incomplete": (IncompleteRead(b"x"), True),
    "urllib3": (urllib3.exceptions.ProtocolError("x"), True),
    "aiohttp": (aiohttp.ClientPayloadError("x"), True),
    "botocore_network": (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), True),
    "botocore_credentials": (botocore.exceptions.NoCredentialsError(), False),
    "s3_slow_down": (OSError(errno.EBUSY, "x"), True),
    "s3_internal": (OSError(errno.EREMOTEIO, "x"), True),
    "s3_bad_request": (OSError(errno.EINVAL, "x"), False),
    "missing": (FileNotFoundError("x"), False),
    "denied": (PermissionError("x"), False),
    "exists": (FileExistsError("x"), False),
    "bug": (ValueError("x"), False),
    "unreached": (UnreachedError("x"), True),
}


@pytest.mark.parametrize("case", TRANSIENT)
def test_transient(case: str) -> None:
    error, again = TRANSIENT[case]
    assert transient(error) is again


class Waits:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def backoff(self, jitter: float = 1.0, **limits: Any) -> Backoff:
        return Backoff(sleep=self.sleep, clock=lambda: self.now, jitter=lambda: jitter, **limits)


class Failing:
    """Fails so often, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_waits_double_up_to_the_cap() -> None:
    waits = Waits()
    assert waits.backoff(base_s=1, cap_s=5).call("reading", "s3://b/x", Failing(5, TimeoutError())) == "answer"
    assert waits.slept == [1, 2, 4, 5, 5]


def test_jitter_is_full() -> None:
    for jitter in (0.0, 0.25):
        waits = Waits()
        waits.backoff(jitter, base_s=1, cap_s=5).call("reading", "s3://b/x", Failing(4, TimeoutError()))
        assert waits.slept == [jitter * wait for wait in (1, 2, 4, 5)]


@pytest.mark.parametrize(("failures", "gives_up"), [(2, False), (3, True)])
def test_attempts_are_bounded(failures: int, gives_up: bool) -> None:
    action = Failing(failures, ConnectionResetError("gone"))
    backoff = Waits().backoff(attempts=3)
    if gives_up:
        with pytest.raises(
            StorageError, match=r"reading 'u' failed 3 times .* ConnectionResetError: gone; run the same"
        ):
            backoff.call("reading", "u", action)
    else:
        assert backoff.call("reading", "u", action) == "answer"
    assert action.calls == 3


@pytest.mark.parametrize(("total_s", "gives_up"), [(7.0, False), (6.9, True)])
def test_time_is_bounded(total_s: float, gives_up: bool) -> None:
    waits = Waits()
    backoff = waits.backoff(base_s=1, total_s=total_s)
    if gives_up:
        with pytest.raises(StorageError, match="failed 3 times in 3 s"):
            backoff.call("reading", "s3://b/x", Failing(3, TimeoutError()))
        assert waits.slept == [1, 2]
    else:
        assert backoff.call("reading", "s3://b/x", Failing(3, TimeoutError())) == "answer"
        assert waits.slept == [1, 2, 4]


def test_final_failures_are_not_tried_again() -> None:
    action = Failing(1, MissingError("no such file"))
    with pytest.raises(MissingError, match="no such file"):
        Waits().backoff().call("reading", "s3://b/x", action)
    assert action.calls == 1


@pytest.mark.parametrize(("asked", "slept"), [(0.5, 1.0), (1.0, 1.0), (7.0, 7.0)])
def test_retry_after_is_a_lower_bound(asked: float, slept: float) -> None:
    waits = Waits()
    waits.backoff(base_s=1).call("reading", "s3://b/x", Failing(1, StatusError("x", 429, asked)))
    assert waits.slept == [slept]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_throttling_server_is_waited_for(http_files: Any, make_fault: Any, status: int) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    http_files.faults["x"] = [make_fault(status=status)] * 3
    waits = Waits()
    with paths.open_read(f"{http_files.url}/x", backoff=waits.backoff()) as file:
        assert file.read() == BODY
    assert waits.slept == [1, 2, 4]


def test_the_servers_own_wait_is_kept(http_files: Any, make_fault: Any) -> None:
    (http_files.folder / "x").write_bytes(b"x")
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    http_files.faults["x"] = [make_fault(status=503, retry_after=value) for value in ("30", later, "soon")]
    waits = Waits()
    assert paths.info(f"{http_files.url}/x", backoff=waits.backoff()).size == 1
    assert waits.slept[0] == 30
    assert 90 < waits.slept[1] <= 100
    assert waits.slept[2] == 4


def test_a_server_that_never_answers_is_named(http_files: Any, make_fault: Any) -> None:
    http_files.faults["x"] = [make_fault(status=403)] * 9
    with pytest.raises(StorageError, match=r"/x' at byte 0 failed 3 times .*HTTP 403.*throttles or does not allow"):
        paths.read_range(f"{http_files.url}/x", 0, 1, backoff=Waits().backoff(attempts=3))
    assert len(http_files.requests) == 3


ROUTE = OSError(errno.EHOSTUNREACH, "No route to host")
UNREACHED = {
    "refused": ("http://127.0.0.1:9/x", None, "http://127.0.0.1:9 refused the connection"),
    "unknown_name": ("https://a/x", socket.gaierror(-2, "unknown"), "https://a has a name that can't be resolved"),
    "no_route": ("http://a:1/x", ROUTE, f"http://a:1 can't be reached ({ROUTE})"),
    "silence": ("http://b/x", TimeoutError("timed out"), "http://b let no connection come about within 10 s"),
}


@pytest.mark.parametrize("case", UNREACHED)
def test_nobody_listening_is_told_in_words(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, error, words = UNREACHED[case]
    if error is not None:
        connect = Failing(99, error)
        monkeypatch.setattr("urllib3.connection.connection.create_connection", lambda *_, **__: connect())
    told = re.escape(f"failed 2 times in 1 s, the last time: {words}; check the address, and that its server runs")
    with pytest.raises(StorageError, match=told):
        paths.read_range(url, 0, 1, backoff=Waits().backoff(attempts=2))


def test_a_stranger_gets_fewer_tries() -> None:
    """Until it has answered, if only with an error: from then on it is one that went away for a while."""
    backoff = Waits().backoff(attempts=6, first_attempts=3)
    away = UnreachedError("http://stranger refused the connection")
    for url, answer, tries in (
        ("http://stranger:1/x", None, 3),
        ("http://stranger:1/y", MissingError("no such file"), 6),
        ("http://stranger:2/x", None, 3),
    ):
        if answer is not None:
            with pytest.raises(MissingError):
                backoff.call("reading", url, Failing(1, answer))
        action = Failing(99, away)
        with pytest.raises(StorageError, match=f"failed {tries} times"):
            backoff.call("reading", url, action)
        assert action.calls == tries


def test_a_stranger_that_answers_is_one_no_more(http_files: Any) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    backoff = Waits().backoff(attempts=4, first_attempts=2)
    with paths.open_read(f"{http_files.url}/x", backoff=backoff) as file:
        assert file.read(10) == BODY[:10]
    with pytest.raises(StorageError, match=r"failed 4 times .*; run the same command again later"):
        backoff.call("reading", f"{http_files.url}/y", Failing(99, UnreachedError("gone")))


@pytest.mark.parametrize("url", ["http://", "http://[::1/x", "https://a b/c"])
def test_what_is_no_url_is_not_tried_again(url: str) -> None:
    waits = Waits()
    with pytest.raises(PathError, match="is no URL"):
        paths.info(url, backoff=waits.backoff())
    assert waits.slept == []


def test_waits_are_told_from_the_first_second_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "storage.retry")
    away = UnreachedError("http://h refused the connection")
    Waits().backoff(0.4, first_attempts=9).call("reading", "http://h/x", Failing(4, away))
    assert [record.getMessage() for record in caplog.records] == [  # of 0.4, 0.8, 1.6, 3.2 s
        "waiting 0.8 s: http://h refused the connection (try 3 of 9)",
        "waiting 1.6 s: http://h refused the connection (try 4 of 9)",
        "waiting 3.2 s: http://h refused the connection (try 5 of 9)",
    ]


WAITED_FOR = {
    "silence": (TimeoutError("slow"), "asking for 'https://h:1/x': TimeoutError: slow"),
    "status": (StatusError("HTTP 503 for bytes from 0 of 'https://h:1/x'", 503), "https://h:1 answers with HTTP 503"),
}


@pytest.mark.parametrize("case", WAITED_FOR)
def test_a_wait_names_what_is_waited_for(case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "storage.retry")
    error, words = WAITED_FOR[case]
    Waits().backoff().call("asking for", "https://h:1/x", Failing(1, error))
    assert [record.getMessage() for record in caplog.records] == [f"waiting 1.0 s: {words} (try 2 of 10)"]


MAY_PASS = {
    "busy": (StatusError("x", 503), True),
    "refused": (StatusError("x", 401), False),
    "permission": (PermissionError("x"), False),
    "none": (None, False),
}


@pytest.mark.parametrize("case", MAY_PASS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_may_pass_another_time(case: str, wrapped: bool) -> None:
    error, passes = MAY_PASS[case]
    if wrapped:
        told = StorageError("told")
        told.__cause__ = error
        error = told
    assert may_pass(error) is passes


def test_a_broken_stream_goes_on_from_the_byte_reached(http_files: Any, make_fault: Any) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    http_files.faults["x"] = [
        make_fault(cut=300_000),
        make_fault(cut=0),
        make_fault(status=503),
        make_fault(cut=200_001),
    ]
    waits = Waits()
    with paths.open_read(f"{http_files.url}/x", backoff=waits.backoff()) as file:
        assert file.read() == BODY
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in http_files.requests]
    assert starts == [0, 300_000, 300_000, 300_000, 500_001]


def test_a_broken_range_goes_on_from_the_byte_reached(http_files: Any, make_fault: Any) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    http_files.faults["x"] = [make_fault(cut=1000)]
    found = paths.read_range(f"{http_files.url}/x", 5000, 3000, backoff=Waits().backoff())
    assert found == BODY[5000:8000]
    assert [asked for _, asked in http_files.requests] == ["bytes=5000-7999", "bytes=6000-7999"]


def test_a_range_shorter_than_asked_is_asked_for_again(http_files: Any, make_fault: Any) -> None:
    """Also one of no byte at all, whose Content-Range can't be written."""
    (http_files.folder / "x").write_bytes(BODY)
    url = f"{http_files.url}/x"
    http_files.faults["x"] = [make_fault(short=0), make_fault(status=206)]
    assert paths.info(url, backoff=Waits().backoff()).size == len(BODY)
    http_files.requests.clear()
    http_files.faults["x"] = [make_fault(short=size) for size in (0, 1000, 0, 1)]
    assert paths.read_range(url, 5000, 3000, backoff=Waits().backoff()) == BODY[5000:8000]
    starts = [int(asked.removeprefix("bytes=").removesuffix("-7999")) for _, asked in http_files.requests]
    assert starts == [5000, 5000, 6000, 6000, 6001]
    http_files.faults["x"] = [make_fault(short=0)] * 3
    with pytest.raises(StorageError, match=r"failed 3 times .*HTTP 206 .* with the Content-Range 'bytes 0--1/900001'"):
        paths.info(url, backoff=Waits().backoff(attempts=3))


def test_a_server_without_ranges_is_read_up_to_the_byte_reached(http_files: Any, make_fault: Any) -> None:
    http_files.ranges = False
    (http_files.folder / "x").write_bytes(BODY)
    http_files.faults["x"] = [make_fault(cut=300_000)]
    with paths.open_read(f"{http_files.url}/x", backoff=Waits().backoff()) as file:
        assert file.read() == BODY


@pytest.mark.parametrize("change", ["tag", "size"])
def test_a_file_that_changes_is_not_glued(http_files: Any, make_fault: Any, change: str) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    http_files.etags["x"] = '"one"'
    http_files.faults["x"] = [make_fault(cut=300_000)]
    with paths.open_read(f"{http_files.url}/x", backoff=Waits().backoff()) as file:
        assert file.read(10) == BODY[:10]
        if change == "tag":
            http_files.etags["x"] = '"two"'
        else:
            (http_files.folder / "x").write_bytes(BODY + b"more")
        with pytest.raises(ChangedError, match="changed while it was read"):
            file.read()


def test_an_s3_object_that_changes_is_not_glued(s3: Any) -> None:
    from storage.commit import replace_atomic

    path = f"{s3.url}/x"
    body = bytes(9 * 2**20)
    replace_atomic(path, body)
    with paths.open_read(path, backoff=Waits().backoff()) as file:
        assert file.read(10) == body[:10]
        replace_atomic(path, b"1" * len(body))
        with pytest.raises(ChangedError, match="changed while it was read"):
            file.read()


class Scripted:
    """A stream of whatever the test says."""

    def __init__(self, body: bytes, start: int, total: int | None, step: int, fails_at: set[int]) -> None:
        self.body, self.at, self.total, self.step, self.fails_at = body, start, total, step, fails_at
        self.etag = ""

    def read(self, size: int) -> bytes:
        if self.at in self.fails_at:
            self.fails_at.remove(self.at)
            raise ConnectionResetError("broken")
        data = self.body[self.at : self.at + min(size, self.step)]
        self.at += len(data)
        return data

    def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("total", [None, 1000])
@pytest.mark.parametrize("step", [1, 7, 999, 1000])
def test_any_break_leaves_the_bytes_whole(total: int | None, step: int) -> None:
    body = BODY[:1000]
    fails_at = {0, 7, 8, 700, 993, 999}
    reader = ResumingReader("x", lambda at: Scripted(body, at, total, step, fails_at), Waits().backoff(attempts=3))
    with reader:
        assert reader.read() == body
        assert reader.tell() == 1000
        assert reader.read(1) == b""
        reader.seek(990)
        assert reader.readall() == body[990:]


def test_progress_renews_patience() -> None:
    body = BODY[:100]
    reader = ResumingReader("x", lambda at: Scripted(body, at, 100, 1, fails), Waits().backoff(attempts=2))
    fails = set(range(100))
    with reader:
        assert reader.read() == body


def test_a_stream_that_ends_early_is_broken() -> None:
    reader = ResumingReader("x", lambda at: Scripted(BODY[:50], at, 100, 10, set()), Waits().backoff(attempts=2))
    with reader, pytest.raises(StorageError, match=r"at byte 50 failed 2 times .* ended at byte 50 of 100"):
        reader.read()


def test_without_a_size_there_is_no_seeking_from_the_end() -> None:
    with ResumingReader("x", lambda at: Scripted(BODY, at, None, 10, set()), Waits().backoff()) as reader:
        with pytest.raises(StorageError, match="does not tell the size"):
            reader.seek(-1, 2)
        with pytest.raises(ValueError, match="before the first byte"):
            reader.seek(-1)


def test_short_hops_keep_the_connection(http_files: Any) -> None:
    (http_files.folder / "x").write_bytes(BODY)
    with paths.open_read(f"{http_files.url}/x") as file:
        for at in range(0, 900_000, 150_000):
            file.seek(at)
            assert file.read(5) == BODY[at : at + 5]
    assert len(http_files.requests) == 1


def test_a_whole_file_is_asked_for_in_large_pieces() -> None:
    """A store without streams makes a request of each."""
    data, asked = bytes(range(256)) * 50_000, []

    class Pieces:
        total, etag = len(data), ""

        def __init__(self, at: int) -> None:
            self.at = at

        def read(self, size: int) -> bytes:
            asked.append(size)
            found = data[self.at : self.at + size]
            self.at += len(found)
            return found

        def close(self) -> None:
            pass

    with io.BufferedReader(ResumingReader("x", Pieces, Waits().backoff())) as file:
        assert file.read(3) == data[:3]
        assert file.read() == data[3:]
    assert len(asked) < 6
