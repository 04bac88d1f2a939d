"""Jobs and markers: the first attempt wins, done is done, failures leave their words."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from curation.child import ChildError
from curation.jobs import (
    Failure,
    InputError,
    Job,
    JobError,
    Marker,
    Phase,
    failure,
    marker_path,
    perform,
    read_marker,
)
from storage.commit import Committed
from storage.errors import StatusError
from storage.hashed import HashedFile

JOB = Job("j1", 0, {"n": 1})


@dataclass
class Writes(Phase):
    """A phase whose attempts write what they are told."""

    folder: str
    content: bytes = b"x"
    before: Callable[[], None] = lambda: None
    error: Exception | None = None
    name: str = "sift"
    ran: list[str] = field(default_factory=list)

    def run(self, job: Job) -> Marker:
        """Writes one file."""
        self.ran.append(job.id)
        if self.error:
            raise self.error
        with HashedFile(self.folder, f"{job.id}.docs", ".bin") as file:
            file.write(self.content)
            committed = file.commit()
        self.before()
        return Marker(job.id, {"docs": committed}, {"bytes": len(self.content)})


def test_a_marker_survives_its_journey(tmp_path: Path) -> None:
    marker = Marker("j1", {"docs": Committed("j1.docs.ab.bin", "ab" * 32, 5)}, {"pages": 3, "words": "가"})
    Path(marker_path(str(tmp_path), "j1")).write_bytes(marker.to_bytes())
    assert read_marker(str(tmp_path), "j1") == marker
    assert read_marker(str(tmp_path), "j2") is None


def test_a_markers_hash_hangs_on_its_content() -> None:
    one = Marker("j", {}, {"a": 1, "b": 2})
    assert one.sha256 == Marker("j", {}, {"b": 2, "a": 1}).sha256
    assert one.sha256 != Marker("j", {}, {"a": 1, "b": 3}).sha256


def test_done_is_not_run_again(tmp_path: Path) -> None:
    phase = Writes(str(tmp_path))
    first = perform(phase, JOB)
    assert isinstance(first, Marker)
    other = Writes(str(tmp_path), b"other")
    assert perform(other, JOB) == first
    assert (phase.ran, other.ran) == (["j1"], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j1.docs.2d711642b726b044.bin", "j1.json"]


def test_of_two_attempts_the_first_marker_wins(tmp_path: Path) -> None:
    """Both have written their file before either creates its marker."""
    both = threading.Barrier(2)
    phases = [Writes(str(tmp_path), content, both.wait) for content in (b"one", b"two")]
    found: list[Marker | str] = []
    threads = [threading.Thread(target=lambda p=p: found.append(perform(p, JOB))) for p in phases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [phase.ran for phase in phases] == [["j1"], ["j1"]]
    assert len(list(tmp_path.glob("*.bin"))) == 2
    assert found[0] == found[1] == read_marker(str(tmp_path), "j1")
    marker = found[0]
    assert isinstance(marker, Marker)
    assert (tmp_path / marker.files["docs"].name).read_bytes() in (b"one", b"two")


ATTEMPT = """
import sys
from tests.curation.test_jobs import JOB, Writes
from curation.jobs import perform
def ready():
    print("ready", flush=True)
    sys.stdin.read(1)
marker = perform(Writes(sys.argv[1], sys.argv[2].encode(), ready), JOB)
print(marker.files["docs"].name)
"""


def test_of_two_processes_the_first_marker_wins(tmp_path: Path) -> None:
    """The second goes on after the first has committed, and adopts what it finds."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ATTEMPT, str(tmp_path), content],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )
        for content in ("one", "two")
    ]  # fmt: skip
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        names = [process.communicate("x", timeout=60)[0].strip() for process in started]
    finally:
        for process in started:
            process.kill()
    assert names[0] == names[1]
    assert (tmp_path / names[0]).read_bytes() == b"one"
    assert len(list(tmp_path.glob("*.bin"))) == 2
    marker = read_marker(str(tmp_path), "j1")
    assert marker is not None
    assert marker.files["docs"].name == names[0]


def _from(error: Exception, cause: Exception) -> Exception:
    """The error, raised from the cause."""
    error.__cause__ = cause
    return error


FAILURES = {
    "input": (InputError("a.warc.gz: cut at 7"), Failure("a.warc.gz: cut at 7", input=True)),
    "lasting": (_from(InputError("a: 401"), StatusError("401", 401)), Failure("a: 401", input=True, final=True)),
    "passing": (_from(InputError("a: 503"), StatusError("503", 503)), Failure("a: 503", input=True)),
    "job": (JobError("no room in the head"), Failure("no room in the head")),
    "storage": (OSError(28, "No space left on device"), Failure("[Errno 28] No space left on device")),
    "defect": (ChildError("a stage failed on p1"), Failure("a stage failed on p1", final=True)),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_job_leaves_its_words(case: str, tmp_path: Path) -> None:
    error, told = FAILURES[case]
    assert perform(Writes(str(tmp_path), error=error), JOB) == told.words
    assert failure(str(tmp_path), "j1") == told
    assert read_marker(str(tmp_path), "j1") is None
    assert isinstance(perform(Writes(str(tmp_path)), JOB), Marker)  # and may succeed the next time


def test_no_failure_no_words(tmp_path: Path) -> None:
    assert failure(str(tmp_path), "j1") == Failure()


def test_a_defect_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        perform(Writes(str(tmp_path), error=ZeroDivisionError()), JOB)
    assert list(tmp_path.iterdir()) == []
