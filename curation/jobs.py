"""Jobs and their markers: the one way in which any phase does work, on any engine, any number of times.

A job is named by a hash of all that decides its output. An attempt writes files named by their content's hash and,
last, creates the job's marker, which names them; the marker is created exclusively, so that of two live attempts the
first wins and the other's files are swept at the end. Readers open only what markers name. A job whose marker stands
is done.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from curation.child import ChildError
from curation.hashing import digest
from curation.readers.base import FormatError
from storage.commit import Committed, create_exclusive, replace_atomic
from storage.errors import MissingError
from storage.paths import exists, join, open_read
from storage.retry import may_pass


class JobError(Exception):
    """A job failed for a reason that more code can't mend: its input, or the storage. One clear line."""


class InputError(JobError):
    """A file of the input can't be read; `--max-failed-files` may forgive it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work of a phase. Small, picklable; what is large lies in files that it names."""

    id: str
    index: int
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Marker:
    """What a finished job left. `facts` holds counts, bounds and tallies; `files` what was written."""

    job: str
    files: Mapping[str, Committed]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        content = {"job": self.job, "files": {k: asdict(v) for k, v in self.files.items()}, "facts": self.facts}
        return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()

    @property
    def sha256(self) -> str:
        """Hash of the marker: what a job of the next phase depends on."""
        return digest(json.loads(self.to_bytes()))


class Phase(Protocol):
    """A kind of job. Instances are pickled to the workers; `setup` and `close` frame their life there.

    Phases derive from this class, and have to write those two only where they have something to load.
    """

    name: str
    folder: str
    """Where its markers and files lie: `WORK/name/hash of what the phase depends on`."""

    def setup(self) -> None:
        """Loads what is heavy, once a worker."""
        return

    @abstractmethod
    def run(self, job: Job) -> Marker:
        """Does the job and writes its files; the caller creates the marker.

        Raises:
          JobError: it can't be done; what, where and what to do.
        """

    def close(self) -> None:
        """Lets go of what `setup` loaded."""
        return


def marker_path(folder: str, job_id: str) -> str:
    """Where a job's marker lies."""
    return join(folder, f"{job_id}.json")


def read_marker(folder: str, job_id: str) -> Marker | None:
    """The marker, or None where the job is not done."""
    path = marker_path(folder, job_id)
    if not exists(path):
        return None
    with open_read(path) as file:
        raw = json.load(file)
    return Marker(raw["job"], {k: Committed(**v) for k, v in raw["files"].items()}, raw["facts"])


def perform(phase: Phase, job: Job) -> Marker | str:
    """Does a job unless it is done, and commits it.

    Returns:
      The marker that stands in the end, be it this attempt's or another's; or, where the job failed, the error's line.
    """
    done = read_marker(phase.folder, job.id)
    if done is not None:
        return done
    try:
        marker = phase.run(job)
        if create_exclusive(marker_path(phase.folder, job.id), marker.to_bytes()):
            return marker
    except (JobError, OSError, ChildError) as error:
        _note_failure(phase, job, error)
        return str(error)
    done = read_marker(phase.folder, job.id)
    assert done is not None, "a marker that existed a moment ago is gone"
    return done


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed job said last."""

    words: str = ""
    input: bool = False
    """Its input was to blame."""
    final: bool = False
    """Another try would end alike: a stage raised or could not be built, or the input's fault does not pass."""
    where: str = ""
    """On which page a stage raised, and where its traceback lies."""


def failure(folder: str, job_id: str) -> Failure:
    """A failed job's words; none where it said nothing."""
    path = join(folder, f"{job_id}.failed")
    if not exists(path):
        return Failure()
    with open_read(path) as file:
        return Failure(**json.load(file))


def _note_failure(phase: Phase, job: Job, error: Exception) -> None:
    """Leaves the error's words beside the missing marker. On a full disk there may be no room even for them."""
    cause = error.__cause__
    lasting = isinstance(error, InputError) and cause is not None and not may_pass(cause)
    final = lasting or isinstance(error, ChildError) or isinstance(cause, FormatError | MissingError)
    note = Failure(str(error), isinstance(error, InputError), final)
    try:
        if isinstance(error, ChildError) and error.details:
            path = join(phase.folder, f"{job.id}.traceback")
            replace_atomic(path, error.details.encode("utf-8", "backslashreplace"))
            where = f"{error.where}; the traceback is in {path}".removeprefix("; ")
            note = replace(note, words=error.words, where=where)
        replace_atomic(join(phase.folder, f"{job.id}.failed"), json.dumps(asdict(note)).encode())
    except OSError:
        return
