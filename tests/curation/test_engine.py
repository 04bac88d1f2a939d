"""Engines that lose their workers come back; real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from curation.engine import Engine, EngineError, default_workers
from curation.jobs import Job, read_marker
from curation.phases import PhaseRunner
from curation.progress import Quiet
from tests.curation.conftest import Small
from tests.curation.test_jobs import Writes
from tests.runs import published

LOCAL = {
    "nothing": ((), True),
    "bundles": (("--direct_runner_bundle_repeat=2",), True),
    "flink": (("--runner=FlinkRunner", "--flink_master=h:1"), False),
    "endpoint": (("--job_endpoint=localhost:1",), False),
}


@pytest.mark.parametrize("case", LOCAL)
def test_who_runs_the_phases(case: str) -> None:
    args, local = LOCAL[case]
    assert Engine(2, args).local is local


def test_one_core_a_worker() -> None:
    assert default_workers() >= 1


def test_in_the_drivers_own_process(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"))
    runner = PhaseRunner(Engine(1), str(tmp_path / "work"), 0, Quiet())
    markers = runner.run(phase, [Job(f"j{i}", i, {}) for i in range(4)])
    assert [marker and marker.job for marker in markers] == ["j0", "j1", "j2", "j3"]
    assert read_marker(phase.folder, "j3") == markers[3]


def test_what_the_engine_raises_is_told(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"), error=ZeroDivisionError("by zero"))
    runner = PhaseRunner(Engine(1), str(tmp_path / "work"), 0, Quiet())
    plan = runner._plan(phase, [Job("j", 0, {})])
    with pytest.raises(EngineError, match=r"^the phase 'sift' failed: (.|\n)*by zero"):
        runner.engine.run(phase, plan, 1)


DRIVER = """
import os, sys
from curation import phases
from curation.driver import Options, run
from curation.recipe import resolve
from schemas.recipe import PipelineSpec
from tests.curation.own_stages import KillsParent

phases.START_SECONDS = 0.0  # so few documents would not start any worker

class Notes:
    def begin(self, *given): pass
    def beat(self, *given): pass
    def note(self, words): print(words)

flag, inputs, output, workers = sys.argv[1:]
spec = PipelineSpec.model_validate({"stages": [{"kills_parent": {"flag": flag}}, "pii"]})
recipe = resolve("kill", spec, (), {"kills_parent": KillsParent})
run(recipe, [inputs], output, options=Options(workers=int(workers), retries=2), progress=Notes())
sys.stdout.flush()
os._exit(0)
"""


def drive(small: Small, flag: Path, output: Path, workers: int) -> tuple[list[str], str]:
    """A driver as a process of its own: its notes, and what it printed besides."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(flag), *small.inputs, str(output), str(workers)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_a_killed_worker_is_noticed_and_the_phase_runs_again(small: Small, tmp_path: Path) -> None:
    """A page kills the worker itself, once: with two real workers, the bytes are those of a quiet run."""
    flag = tmp_path / "killed"
    notes, noise = drive(small, flag, tmp_path / "out", 2)
    assert flag.exists()
    assert len(notes) == 1, notes
    assert notes[0].startswith("sift: try 2 of 3 for ")
    assert "a worker of the phase 'sift' died" in notes[0]
    assert "Traceback" not in noise
    assert drive(small, flag, tmp_path / "quiet", 1)[0] == []
    assert published(tmp_path / "out") == published(tmp_path / "quiet")
