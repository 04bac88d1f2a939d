"""Workers end when their driver dies: a worker that outlives it would hold memory and race the next run.

The local runner starts its workers through a shell, so a parent's death does not show in `getppid`. The driver puts its
process into the environment, which every local worker inherits; on other engines the variable is absent.
"""

import os
import threading
import time

import psutil

VARIABLE = "GRISTMILL_DRIVER"
"""pid:start time of the driver."""

POLL_SECONDS = 0.5


def driver() -> str:
    """The calling process as `VARIABLE` names it: for the environment of the workers that it starts."""
    me = psutil.Process()
    return f"{me.pid}:{me.create_time()}"


def follow_driver() -> None:
    """Called in a worker: from now on it ends within a second of its driver's death. Does nothing in the driver."""
    pid, _, started = os.environ.get(VARIABLE, "").partition(":")
    if not pid or int(pid) == os.getpid() or any(t.name == VARIABLE for t in threading.enumerate()):
        return
    threading.Thread(target=_watch, args=(int(pid), float(started)), name=VARIABLE, daemon=True).start()


def alive(pid: int, started: float) -> bool:
    """Whether that very process runs (and is no zombie)."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _watch(pid: int, started: float) -> None:
    while alive(pid, started):
        time.sleep(POLL_SECONDS)
    os._exit(1)
