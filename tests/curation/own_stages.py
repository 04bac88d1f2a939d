"""Stages as a user would write them: workers and children import this module."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from schemas.records import Document, Measurement
from schemas.stage import Rule

TEN = 10


@dataclass(frozen=True, kw_only=True)
class ShortTexts(Rule):
    """The how-to's rule: ten lines, no more."""

    reasons: ClassVar[tuple[str, ...]] = ("too_short",)
    min_characters: int = TEN

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Characters."""
        yield Measurement("too_short", len(doc.text), self.min_characters, "min")


@dataclass(frozen=True, kw_only=True)
class Killer(Rule):
    """Ends the process that touches a page of this id."""

    reasons: ClassVar[tuple[str, ...]] = ("survived",)
    id: str = ""
    signal: int = int(signal.SIGKILL)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Nothing, where it comes back at all."""
        if doc.id == self.id:
            os.kill(os.getpid(), self.signal)
        yield from ()


@dataclass(frozen=True, kw_only=True)
class KillsParent(Rule):
    """Ends the worker, not its child, once: whoever creates the file `flag`."""

    reasons: ClassVar[tuple[str, ...]] = ("survived",)
    flag: str = ""

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Nothing, where it comes back at all."""
        try:
            Path(self.flag).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getppid(), signal.SIGKILL)
        yield from ()


@dataclass(frozen=True, kw_only=True)
class Breaks(Rule):
    """A defect in a user's stage."""

    reasons: ClassVar[tuple[str, ...]] = ("never",)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Raises."""
        raise ZeroDivisionError(f"a defect of mine at {doc.id}")
