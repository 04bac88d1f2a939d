"""Runs that are killed at random moments and started again.

A moment is drawn as one of the reference run's time, uniformly, and told by its markers: so many seconds after so many
stood. A slow machine then meets it as surely as a fast one, and always before the end.
"""

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.engines.crawl import Crawl, log_of, markers

POLL_SECONDS = 0.03
SOON = 0.5
"""Seconds within which a phase may end by itself before a worker's death is seen."""


@dataclass(frozen=True)
class Mark:
    """A marker of the reference run."""

    seconds: float
    """After the run's start."""
    gap: float
    """Seconds since the marker before it."""
    phase: str
    """Folder of the phase."""


@dataclass(frozen=True)
class Moment:
    """`seconds` after `markers` stand, or when another one does."""

    markers: int
    seconds: float


def timeline(output: Path, started: float) -> list[Mark]:
    """The markers of a finished run that began at `started` (seconds since the epoch), in the order of their making."""
    made = sorted((path.stat().st_mtime - started, str(path.parent)) for path in markers(output))
    befores = [0.0, *(seconds for seconds, _ in made)]
    return [Mark(seconds, seconds - before, phase) for before, (seconds, phase) in zip(befores, made, strict=False)]


def anywhere(marks: list[Mark]) -> list[int]:
    """Markers before which a driver may be killed: all but the last, behind which the run soon ends."""
    return list(range(len(marks) - 1))


def with_workers(marks: list[Mark]) -> list[int]:
    """Markers before which there are worker processes, and work left for both.

    Those are the sifts that read the input; the last sift, and all other phases, are so short that they run in the
    driver. The last two jobs of a phase are left out, since one worker may be done with its own by then.
    """
    sifts = list(dict.fromkeys(mark.phase for mark in marks if Path(mark.phase).parent.name == "sift"))[:-1]
    jobs = {phase: [i for i, mark in enumerate(marks) if mark.phase == phase] for phase in sifts}
    return [i for phase in sifts for i in jobs[phase][:-2] if marks[i].gap > SOON]


def draw(marks: list[Mark], among: list[int], count: int, rng: random.Random) -> list[Moment]:
    """Moments in the order of their coming, drawn uniformly from the time before the markers numbered in `among`."""
    chosen = rng.choices(among, weights=[marks[i].gap for i in among], k=count)
    return sorted((Moment(i, rng.uniform(0, marks[i].gap)) for i in chosen), key=lambda m: (m.markers, m.seconds))


def await_moment(process: "subprocess.Popen[bytes]", output: Path, moment: Moment, lead: float) -> None:
    """Returns when it has come, or the process has ended.

    Args:
      process: the run.
      output: its folder.
      moment: which.
      lead: seconds that a run needs to begin where another one stopped.
    """
    standing = len(markers(output))
    wait = moment.seconds + (lead if standing else 0)
    if standing < moment.markers:
        while len(markers(output)) < moment.markers and process.poll() is None:
            time.sleep(POLL_SECONDS)
        standing, wait = moment.markers, moment.seconds
    end = time.monotonic() + wait
    while time.monotonic() < end and len(markers(output)) <= standing and process.poll() is None:
        time.sleep(POLL_SECONDS)


def kill_and_go_on(whom: str, moments: list[Moment], lead: float, crawl: Crawl, output: Path) -> None:
    """A run that is killed at each of the moments, started again at once, and in the end left to finish.

    Args:
      whom: `driver` (alone) or `all` (its process group).
      moments: in the order of their coming.
      lead: as in `await_moment`.
      crawl: what to run.
      output: where to.
    """
    process = crawl.start(output, "--workers", "2")
    for moment in moments:
        await_moment(process, output, moment, lead)
        below = descendants(process.pid)
        assert process.poll() is None, f"the run had ended at {moment}: {tail(output)}"
        if whom == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        assert process.wait(timeout=30) == -signal.SIGKILL
        assert not (output / "_SUCCESS").exists(), f"the run had ended at {moment}"
        process = crawl.start(output, "--workers", "2")
        assert wait_gone(below, 20) == [], "workers outlived their driver"
    assert process.wait(timeout=500) == 0, tail(output)


def kill_workers(moments: list[Moment], lead: float, crawl: Crawl, output: Path) -> None:
    """A run that loses a worker at each of the moments: the driver sees it and runs again what has no marker."""
    process = crawl.start(output, "--workers", "2")
    for moment in moments:
        await_moment(process, output, moment, lead)
        while not (below := workers(process.pid)):
            assert process.poll() is None, f"no worker was to be found after {moment}: {tail(output)}"
            time.sleep(POLL_SECONDS)
        below[0].kill()
        assert wait_gone(below, 60) == [], "the driver left a worker behind"
    assert process.wait(timeout=500) == 0, tail(output)
    tries = log_of(output).read_text().count("note: sift: try ")
    assert tries == len(moments), f"{tries} phases were tried again: {tail(output)}"


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(pid: int) -> list[psutil.Process]:
    """Beam's worker processes below a driver."""
    found = []
    for process in descendants(pid):
        try:
            if any("sdk_worker_main" in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def wait_gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long."""
    end = time.monotonic() + seconds
    while (running := [p for p in processes if _runs(p)]) and time.monotonic() < end:
        time.sleep(0.1)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def tail(output: Path) -> str:
    """The end of what its runs printed."""
    return log_of(output).read_text(errors="replace")[-3000:]
