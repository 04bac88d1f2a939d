"""A phase is brought to its end, or says what is missing and why."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.child import ChildError
from curation.engine import EngineError
from curation.hashing import job_id
from curation.jobs import InputError, Job, JobError, Phase, perform
from curation.phases import PhaseRunner, RunFailedError
from curation.progress import Beat
from storage.errors import full_disk
from tests.curation.test_jobs import Writes

JOBS = [Job(f"j{i}", i, {"n": i}) for i in range(3)]


@dataclass
class Telling:
    """Remembers what it is told."""

    begun: list[tuple[str, int, int]] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin(self, phase: str, jobs: int, done: int) -> None:
        """A phase."""
        self.begun.append((phase, jobs, done))

    def beat(self, beat: Beat) -> None:
        """A beat."""
        self.beats.append(beat)

    def note(self, words: str) -> None:
        """A note."""
        self.notes.append(words)


@dataclass
class Engine:
    """Performs the plan's jobs here, `act` before each; stands for any engine."""

    act: Callable[[int, str], None] = lambda attempt, job: None
    plans: list[list[str]] = field(default_factory=list)
    most: list[int] = field(default_factory=list)

    def run(self, phase: Phase, plan: str, most: int, watch: Callable[[], None]) -> None:
        """One attempt."""
        rows = pq.read_table(plan).to_pylist()
        self.plans.append([row["id"] for row in rows])
        self.most.append(most)
        for row in rows:
            self.act(len(self.plans), row["id"])
            perform(phase, Job(row["id"], row["index"], json.loads(row["payload"])))
            watch()


def runner(folder: Path, engine: Engine, retries: int = 0) -> tuple[PhaseRunner, Telling]:
    told = Telling()
    return PhaseRunner(engine, str(folder / "work"), retries, told), told  # type: ignore[arg-type]


def test_all_jobs_in_order(tmp_path: Path) -> None:
    engine = Engine()
    run, told = runner(tmp_path, engine)
    markers = run.run(Writes(str(tmp_path / "p")), JOBS, {"j0": 1, "j1": 1, "j2": 2})
    assert [marker and marker.job for marker in markers] == ["j0", "j1", "j2"]
    assert engine.plans == [["j0", "j1", "j2"]]
    assert told.begun == [("sift", 3, 0)]
    assert [(beat.done, beat.share) for beat in told.beats] == [(1, 0.25), (2, 0.5), (3, 1.0), (3, 1.0)]
    assert told.notes == []


def test_what_is_done_is_not_planned(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"))
    perform(phase, JOBS[1])
    engine = Engine()
    run, told = runner(tmp_path, engine)
    run.run(phase, JOBS)
    run.run(phase, JOBS)
    assert engine.plans == [["j0", "j2"]]
    assert told.begun == [("sift", 3, 1), ("sift", 3, 3)]


WORKERS = {"unknown": ({}, 3), "long": ({"seconds": 60.0}, 3), "short": ({"seconds": 1.0}, 1)}


@pytest.mark.parametrize("case", WORKERS)
def test_small_phases_start_no_workers(case: str, tmp_path: Path) -> None:
    given, most = WORKERS[case]
    engine = Engine()
    run, _ = runner(tmp_path, engine)
    run.run(Writes(str(tmp_path / "p")), JOBS, **given)
    assert engine.most == [most]


def test_an_engine_that_dies_is_started_again(tmp_path: Path) -> None:
    def die(attempt: int, job: str) -> None:
        if attempt < 3 and job == "j1":
            raise EngineError("a worker of the phase 'sift' died: exit status -9")

    engine = Engine(die)
    run, told = runner(tmp_path, engine, retries=2)
    assert None not in run.run(Writes(str(tmp_path / "p")), JOBS)
    assert engine.plans == [["j0", "j1", "j2"], ["j1", "j2"], ["j1", "j2"]]
    assert told.notes == [
        "sift: try 2 of 3 for 2 jobs; a worker of the phase 'sift' died: exit status -9",
        "sift: try 3 of 3 for 2 jobs; as before",
    ]


def test_after_the_last_try_the_run_fails(tmp_path: Path) -> None:
    def die(attempt: int, job: str) -> None:
        if job == "j2":
            raise EngineError("a worker died")

    run, _ = runner(tmp_path, Engine(die), retries=1)
    with pytest.raises(RunFailedError) as caught:
        run.run(Writes(str(tmp_path / "p")), JOBS)
    assert str(caught.value) == (
        "1 job of the phase 'sift' failed: a worker died;\n"
        "what is done stays done; mend this and give the same command again"
    )


def test_advice_is_given_once(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"))
    phase.error = full_disk(OSError(28, ""), "a.parquet", 0)
    run, _ = runner(tmp_path, Engine())
    with pytest.raises(RunFailedError) as caught:
        run.run(phase, JOBS)
    assert str(caught.value) == (
        "3 jobs of the phase 'sift' failed: 3 x no space left to write 'a.parquet': No space left on device; "
        "free space and run the same command again; nothing committed is lost"
    )


def test_a_bug_met_by_many_jobs_is_told_once(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"))
    phase.error = ChildError("ValueError: no (mine.py:3)", "on p1 (a at 0)", "Traceback …")
    run, _ = runner(tmp_path, Engine())
    with pytest.raises(RunFailedError) as caught:
        run.run(phase, JOBS)
    assert str(caught.value) == (
        "3 jobs of the phase 'sift' failed: 3 x ValueError: no (mine.py:3), the first on p1 (a at 0); "
        f"the traceback is in {tmp_path}/p/j0.traceback;\n"
        "what is done stays done; mend this and give the same command again"
    )
    assert (tmp_path / "p" / "j0.traceback").read_text() == "Traceback …"


def test_failed_inputs_are_no_failure_of_the_run(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"))

    def spoil(attempt: int, job: str) -> None:
        phase.error = InputError("b.gz: cut") if job == "j1" else None

    engine = Engine(spoil)
    run, told = runner(tmp_path, engine, retries=1)
    markers = run.run(phase, JOBS)
    assert [marker is None for marker in markers] == [False, True, False]
    assert run.failed_inputs == {"j1": "b.gz: cut"}
    assert engine.plans == [["j0", "j1", "j2"], ["j1"]]
    assert told.notes == ["sift: try 2 of 2 for 1 jobs; b.gz: cut"]


def test_faults_are_told_once_each(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path / "p"), error=JobError("no space left"))
    run, _ = runner(tmp_path, Engine())
    with pytest.raises(RunFailedError, match=r"^3 jobs of the phase 'sift' failed: 3 x no space left;\n"):
        run.run(phase, JOBS)


def test_jobs_that_vanish_without_a_word(tmp_path: Path) -> None:
    class Silent(Engine):
        def run(self, phase: Phase, plan: str, most: int, watch: Callable[[], None]) -> None:
            """Does nothing."""

    run, _ = runner(tmp_path, Silent())
    with pytest.raises(RunFailedError, match=r": 3 x it ended without a word;\n"):
        run.run(Writes(str(tmp_path / "p")), JOBS)


def test_what_losing_attempts_left_is_swept(tmp_path: Path) -> None:
    """Files of these jobs that no marker names; other runs' in the same folder stay."""
    folder = tmp_path / "p"
    folder.mkdir()
    left = {"j0.docs.loser.bin", "j2.failed"}
    stays = {"other.docs.x.bin", "other.json", "other.failed", "j00.docs.x.bin"}
    for name in (*left, *stays):
        (folder / name).touch()
    run, _ = runner(tmp_path, Engine())
    run.run(Writes(str(folder)), JOBS)
    written = {f"j{i}.docs.2d711642b726b044.bin" for i in range(3)} | {f"j{i}.json" for i in range(3)}
    assert {path.name for path in folder.iterdir()} == stays | written


def test_heartbeats_count_tasks_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "heartbeats"
    folder.mkdir(parents=True)

    def beat(attempt: int, job: str) -> None:
        (folder / "j2.host.1").write_text(json.dumps({"pages": 70, "kept": 7}))
        (folder / "other.host.1").write_text(json.dumps({"pages": 1000, "kept": 7}))

    run, told = runner(tmp_path, Engine(beat))
    run.run(Writes(str(tmp_path / "p")), JOBS)
    assert [(b.pages, b.kept) for b in told.beats] == [(70, 7), (70, 7), (0, 0), (0, 0)]


def test_remote_work_has_no_heartbeats() -> None:
    assert PhaseRunner(Engine(), "s3://bucket/work", 0, Telling()).heartbeats == ""  # type: ignore[arg-type]


def test_job_ids() -> None:
    assert job_id("a", 1) == job_id("a", 1)
    assert len({job_id("a", 1), job_id("a", "1"), job_id("a1"), job_id("a", 1, "")}) == 4
    assert len(job_id("a")) == 20
