"""Runs one phase on a Beam runner and comes back whatever happens to the workers.

Locally that is `FnApiRunner`, pinned: `DirectRunner` would first try to download Prism and so run other code on
other machines. It neither retries nor notices a worker that was killed: it waits for good. So a phase runs in a
thread; when a worker's end is seen, the others are ended, the thread is left behind, and the driver runs again what
has no marker.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from curation import lifeline
from curation.beam import build
from curation.beam_arguments import check, is_local
from curation.jobs import Phase

POLL_SECONDS = 0.2
WORKER = (
    "import runpy; from curation.lifeline import follow_driver; follow_driver(); "
    "runpy.run_module('apache_beam.runners.worker.sdk_worker_main', run_name='__main__', alter_sys=True)"
)
"""A Beam worker that ends with its driver."""

MODE = "--direct_running_mode"
WORKER_THREAD = "run_worker"
"""The name of Beam's thread that waits for a worker process; it raises when the worker ends with an error."""


class EngineError(Exception):
    """The engine could not bring a phase to its end; markers say what is done."""


class Engine:
    """How phases are run: on this machine, or wherever Beam's own arguments say.

    Args:
      workers: processes on this machine; 1 runs in the driver itself.
      beam_args: what stood after `--`; with `--runner` or a job endpoint among them, Beam decides everything.
      log: file to which local workers' own output goes.
    """

    def __init__(self, workers: int, beam_args: Sequence[str] = (), log: Path | None = None) -> None:
        self._workers = workers
        self._args = list(beam_args)
        self._log = log
        self.abandoned = False
        """A phase's thread was left behind: end the process by `os._exit`."""

    def check(self) -> list[str]:
        """Says before a run what Beam can't take or may drop; see `curation.beam_arguments.check`."""
        return check(self._args)

    @property
    def local(self) -> bool:
        """Whether the pinned local runner runs the phases."""
        return is_local(self._args)

    def run(self, phase: Phase, plan: str, most: int, watch: Callable[[], None] = lambda: None) -> None:
        """Runs a phase to its end.

        Args:
          phase: what is done with each job.
          plan: the jobs file.
          most: workers that are of use; one runs in the driver itself.
          watch: called a few times a second, for progress.

        Raises:
          EngineError: a worker died, or the engine reported a failure.
        """
        failures: list[str] = []
        deaths: list[str] = []
        pipeline = self._pipeline(min(self._workers, most))
        build(pipeline, phase, plan)
        work = pipeline.run if self.local else _submitted(pipeline, failures).wait_until_finish
        thread = threading.Thread(target=_guard, args=(work, failures), name=f"phase {phase.name}", daemon=True)
        before, bystanders = threading.excepthook, set(threading.enumerate())
        held: list[threading.ExceptHookArgs] = []
        threading.excepthook = lambda args: (
            deaths.append(str(args.exc_value)) if _is_worker(args) else held.append(args)
        )
        try:
            thread.start()
            while thread.is_alive() and not deaths:
                watch()
                thread.join(POLL_SECONDS)
        finally:
            threading.excepthook = before
            if thread.is_alive():
                self.abandoned = True
                _silence(set(threading.enumerate()) - bystanders)
                _end_workers()
        for args in held if not deaths else ():  # where a worker died, Beam's threads that talked to it fail too
            before(args)
        if deaths and thread.is_alive():
            raise EngineError(f"a worker of the phase {phase.name!r} died: {deaths[0]}")
        if failures:
            raise EngineError(f"the phase {phase.name!r} failed: {failures[0]}")

    def _pipeline(self, workers: int) -> Any:
        if not self.local:
            return beam.Pipeline(options=PipelineOptions(self._args))
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        options = PipelineOptions(self._args)
        direct = options.view_as(DirectOptions)
        given = direct.direct_running_mode if any(MODE in arg for arg in self._args) else ""
        processes = given == "multi_processing" or (not given and workers > 1)
        if not given:
            direct.direct_num_workers = max(workers, 1)
        if processes:  # what Beam's own multi_processing does, with our command line and its output in a file
            direct.direct_running_mode = "in_memory"
        environment = SubprocessSDKEnvironment.from_command_string(self._command()) if processes else None
        return beam.Pipeline(runner=FnApiRunner(default_environment=environment), options=options)

    def _command(self) -> str:
        """The worker's command line; Beam runs it in a shell, which `exec` replaces by the worker.

        A worker has the driver's import path, so that stages of a user's own script are found, and nothing of the
        working folder's, where the user may have folders named like ours. It follows its driver from its first moment.
        """
        if self._log:
            self._log.parent.mkdir(parents=True, exist_ok=True)
        log = shlex.quote(str(self._log)) if self._log else "/dev/null"
        variables = {
            lifeline.VARIABLE: lifeline.driver(),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONSAFEPATH": "1",
        }
        words = ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-c", WORKER]
        return f"exec {shlex.join(words)} >>{log} 2>&1"


def _guard(work: Callable[[], Any], failures: list[str]) -> Any:
    """Does it; what it raises becomes a failure."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  runners raise what they like; the markers decide what is done
        failures.append(f"{type(error).__name__}: {error}")
        return None


def _submitted(pipeline: Any, failures: list[str]) -> Any:
    """A job given to its engine, in the main thread: some runners start job servers, which install signal handlers."""
    return _guard(pipeline.run, failures) or _Nothing()


class _Nothing:
    """The job of a pipeline that could not be submitted."""

    def wait_until_finish(self) -> None:
        """It has."""


def _is_worker(args: threading.ExceptHookArgs) -> bool:
    return args.thread is not None and args.thread.name == WORKER_THREAD


def _silence(threads: set[threading.Thread]) -> None:
    """From now on what these threads raise is nobody's concern: their phase was given up."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if args.thread in threads else before(args)


def _end_workers() -> None:
    """Ends the local workers and their children."""
    processes = [p for p in psutil.Process().children(recursive=True) if p.is_running()]
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def default_workers() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
