"""Runs of the command on a small built-in crawl, as separate processes: what the tests of this folder share."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

CHECKED = ("shards", "ledger", "clusters", "signals", "dropped")


@dataclass(frozen=True)
class Crawl:
    """A folder of WARCs, and how to run a pipeline over it."""

    folder: Path
    pipeline: str = "fineweb"

    def command(self, output: Path, *more: str) -> list[str]:
        """The command line of a run; what stands in `more` behind `--` goes to Beam."""
        inputs = ["--input", f"{self.folder}/crawl-data/**/*.warc.gz"]
        return [sys.executable, "-m", "service", "run", self.pipeline, *inputs, "--output", str(output), *more]

    def run(self, output: Path, *more: str, timeout: float = 300) -> str:
        """Runs to the end and returns what was printed; fails with it where the run fails."""
        done = subprocess.run(
            self.command(output, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def start(self, output: Path, *more: str) -> "subprocess.Popen[bytes]":
        """Starts a run in a process group of its own."""
        log = (output.parent / f"{output.name}.log").open("ab")
        with log:
            return subprocess.Popen(self.command(output, *more), stdout=log, stderr=log, start_new_session=True)


def fingerprint(output: Path) -> dict[str, str]:
    """sha256 of every published file, by name."""
    files = sorted(path for folder in CHECKED for path in (output / folder).glob("*"))
    assert files, f"nothing was published in {output}"
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill(process: "subprocess.Popen[bytes]", whom: str) -> bool:
    """SIGKILL to the driver alone, to one worker, or to the whole group; whether there was anybody to kill."""
    try:
        if whom == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif whom == "driver":
            process.kill()
        else:
            workers = [p for p in descendants(process.pid) if any("sdk_worker_main" in arg for arg in p.cmdline())]
            if not workers:
                return False
            workers[0].kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    return True


def wait_gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        processes = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not processes:
            break
        time.sleep(0.1)
    return processes
