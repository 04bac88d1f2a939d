"""Workers end when their driver does; real processes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from curation import lifeline

ROOT = Path(__file__).parents[2]

WORKER = """
import sys, time
from curation import lifeline
lifeline.follow_driver()
lifeline.follow_driver()
print("following", flush=True)
time.sleep(60)
"""

DRIVER = f"""
import os, subprocess, sys
from curation import lifeline
environment = os.environ | {{lifeline.VARIABLE: lifeline.driver()}}
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}], env=environment, stdout=subprocess.PIPE, text=True)
worker.stdout.readline()
print(worker.pid, flush=True)
sys.stdin.read()
"""


def test_a_worker_ends_within_a_second_of_its_driver() -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    with driver.stdin, driver.stdout:
        worker = psutil.Process(int(driver.stdout.readline()))
        time.sleep(3 * lifeline.POLL_SECONDS)
        assert worker.is_running()
        driver.kill()
        driver.wait()
        psutil.wait_procs([worker], timeout=10)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_nobody_to_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the variable is absent, and in the driver it names the process itself."""
    before = threading.active_count()
    monkeypatch.delenv(lifeline.VARIABLE, raising=False)
    lifeline.follow_driver()
    monkeypatch.setenv(lifeline.VARIABLE, f"{os.getpid()}:0.0")
    lifeline.follow_driver()
    assert threading.active_count() == before


def test_alive() -> None:
    me = psutil.Process()
    assert lifeline.alive(me.pid, me.create_time()) is True
    assert lifeline.alive(me.pid, me.create_time() - 100) is False  # another process had that number
    gone = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(gone.pid).create_time()
    while psutil.Process(gone.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    assert lifeline.alive(gone.pid, started) is False  # a zombie
    gone.wait()
    assert lifeline.alive(gone.pid, started) is False


def test_the_driver_names_itself() -> None:
    pid, _, started = lifeline.driver().partition(":")
    assert lifeline.alive(int(pid), float(started)) is True
    assert int(pid) == os.getpid()
