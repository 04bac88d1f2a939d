"""Waits are told while they last, this process's and its workers'."""

import io
import logging
from collections.abc import Iterator

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.local_job_service import BeamFnLoggingServicer
from rich.console import Console

from service import notes
from service.progress import Face
from storage.retry import LOG


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """As the command sets it up, with a clock that the test moves."""
    loggers = [notes.STORAGE, notes.WORKERS]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    clock = [1000.0]
    monkeypatch.setattr("service.notes.time.monotonic", lambda: clock[0])
    notes.tell_storage()
    yield clock
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


def wait(seconds: float, host: str = "h") -> None:
    """As patience says it."""
    LOG.warning("waiting %.1f s: %s (try %d of %d)", seconds, f"http://{host} refused the connection", 2, 5)


def test_a_wait_is_a_line(told: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    wait(4)
    assert capsys.readouterr() == ("", "note: waiting 4.0 s: http://h refused the connection (try 2 of 5)\n")


def test_many_who_wait_for_one_server_say_so_once(told: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (4.0, 3.0, 4.9, 5.1, 6.0):
        wait(seconds)
    told[0] += 5.0
    wait(1.0)
    wait(1.2)
    assert [line[14:17] for line in capsys.readouterr().err.splitlines()] == ["4.0", "5.1", "1.2"]


def test_what_is_fetched_is_told_every_time(told: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lid176", "ut1"):
        logging.getLogger("storage.sources").info("fetching model %r from %s", name, "https://h/\x1b[2J")
    assert capsys.readouterr().err.splitlines() == [
        f"note: fetching model '{name}' from https://h/\\x1b[2J" for name in ("lid176", "ut1")
    ]


WORDS = 'waiting 2.0 s: HTTP 503 "Slow" (try 3 of 10)'
ENTRIES = {
    "ours": (beam_fn_api_pb2.LogEntry.Severity.WARN, "/x/storage/retry.py:1", f"note: {WORDS}\n"),
    "somebody_elses": (beam_fn_api_pb2.LogEntry.Severity.WARN, "/x/beam/retry.py:1", ""),
    "chatter": (beam_fn_api_pb2.LogEntry.Severity.INFO, "/x/storage/retry.py:1", ""),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_workers_waits_come_through_beams_log(case: str, told: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """By the very service that Beam runs for its worker processes."""
    severity, place, printed = ENTRIES[case]
    entry = beam_fn_api_pb2.LogEntry(severity=severity, message=WORDS, log_location=place, thread="t")
    entry.timestamp.seconds = 5
    list(BeamFnLoggingServicer().Logging([beam_fn_api_pb2.LogEntry.List(log_entries=[entry])]))
    assert capsys.readouterr() == ("", printed)


def test_what_is_no_entry_is_passed_over(told: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    notes.WORKERS.error("Worker: %s", "storage/ ] no entry {")
    assert capsys.readouterr() == ("", "")


def test_above_a_live_progress(told: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    with Face(Console(file=out, width=100, force_terminal=True, color_system=None)) as face:
        face.begin("sift", 2, 0)
        wait(4)
    assert "note: waiting 4.0 s: http://h refused the connection (try 2 of 5)" in out.getvalue()
