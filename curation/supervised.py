"""Phases whose work touches pages: it runs in a child, within limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from curation.child import Child
from curation.jobs import Phase
from curation.judged import Sealed
from schemas.records import Document, Page

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one page may cost. Deterministic limits (bytes, elements, depth) belong to readers and stages."""

    memory_bytes: int = 700 << 20
    """Of the child, beyond what it holds once its stages are loaded."""
    cpu_seconds: float = 120.0
    """A backstop far above what any page needs: the worst page within the limits takes some 26 s."""
    wall_seconds: float = 900.0


DEFAULT_LIMITS = Limits()


def supervised(build: Callable[[], Callable[[T], R]], limits: Limits = DEFAULT_LIMITS) -> Child[T, R]:
    """A child within the limits; a context manager."""
    return Child(
        build,
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        wall_seconds=limits.wall_seconds,
        describe=_describe,
    )


def _describe(item: object) -> str:
    return f"{item.id} ({item.path} at {item.offset})" if isinstance(item, Page | Document) else repr(item)[:300]


class SupervisedPhase(Phase):
    """A phase with a child of its own, as long as a worker has the phase."""

    build: Sealed
    """Builds the function that the child applies."""
    limits: Limits
    child: Child[Any, Any]

    def setup(self) -> None:
        """Starts the child."""
        self.child = supervised(self.build, self.limits)
        self.child.__enter__()

    def close(self) -> None:
        """Ends it."""
        self.child.__exit__(None, None, None)
