"""What the driver tells whoever watches. The face is elsewhere (`service.progress`); this is the contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Beat:
    """Where a phase stands."""

    phase: str
    done: int
    jobs: int
    pages: int = 0
    """Pages read so far in this phase, of jobs done and under way."""
    kept: int = 0
    share: float = 0.0
    """Of the phase's work that is done, by input bytes where they are known; in [0, 1]."""
    dropped: Mapping[str, int] | None = None
    """Losses by `stage.reason` so far, of jobs done."""


class Progress(Protocol):
    """Told by the driver, in its own thread."""

    def begin(self, phase: str, jobs: int, done: int) -> None:
        """A phase starts; `done` of its jobs stood already."""

    def beat(self, beat: Beat) -> None:
        """Several times a second."""

    def note(self, words: str) -> None:
        """Something to tell once: a retry, a file that failed, a deviation from the recipe."""


class Quiet:
    """Tells nothing."""

    def begin(self, phase: str, jobs: int, done: int) -> None:
        """Ignored."""

    def beat(self, beat: Beat) -> None:
        """Ignored."""

    def note(self, words: str) -> None:
        """Ignored."""
