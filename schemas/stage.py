"""The contract of a document stage: a frozen dataclass of thresholds that judges or edits documents.

A stage is one of six kinds, told apart by the base class:

- `Rule`: yields measurements; the first that fails is the verdict.
- `Edit`: returns the document with another text or another column.
- `Rewrite`: does both in one pass over the text (C4 drops lines, then judges what is left).
- `Annotate`: fills columns of its own, then judges by them (language, quality).
- `Extract`: turns a page into a document.
- `Dedup`: needs every document to decide about one; it ends a sift.

Any of them may be a `Gate` besides: it then also looks at pages before `extract`, and spares the rest of the work.

Stages do no I/O, have no clock and know no Beam. One that needs a model or a list names it in `files()` and returns a
loaded copy of itself from `setup`; the driver resolves, verifies and hashes the names before anything runs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from schemas.records import Document, Fault, Measurement, Page, Verdict


class Stage:
    """What every stage has. Subclasses are `@dataclass(frozen=True, kw_only=True)`."""

    version: ClassVar[int] = 1
    """Raise it whenever the same input and parameters give another output: it is part of every hash."""
    reasons: ClassVar[tuple[str, ...]] = ()
    """Every reason that the stage can give."""
    needs_text: ClassVar[bool] = True
    """False for stages that look at URL, digest or other columns only, which may stand before `extract`."""

    def files(self) -> tuple[str, ...]:
        """Names of the models and lists it needs, as the registry in `storage` knows them."""
        return ()

    def libraries(self) -> tuple[str, ...]:
        """Distributions whose output reaches hashed bytes; their versions become part of the hash."""
        return ()

    def deviations(self) -> tuple[str, ...]:
        """How these parameters depart from the published recipe, in words for the manifest and the report."""
        return ()

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Returns a copy ready for use, with what `files()` named loaded from `files[name]`."""
        return self


class Rule(Stage, ABC):
    """Drops documents: the first failed measurement is the verdict."""

    @abstractmethod
    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Yields one measurement a reason, in verdict order, lazily: a caller may stop at the first failure.

        Answers for every text, the empty one too. A disabled reason (threshold None) is not yielded.
        """

    def __call__(self, doc: Document) -> Verdict | None:
        """The verdict, or None where the document stays."""
        for m in self.measure(doc):
            if m.failed:
                return Verdict(m.reason, m.value, m.threshold)
        return None


class Edit(Stage, ABC):
    """Changes documents and keeps them all."""

    @abstractmethod
    def edit(self, doc: Document) -> Document:
        """The document, with `dataclasses.replace`."""


class Rewrite(Stage, ABC):
    """Edits and judges in one pass."""

    @abstractmethod
    def rewrite(self, doc: Document) -> tuple[Document, tuple[Measurement, ...]]:
        """The edited document and its measurements in verdict order; the first failed one drops it."""

    def __call__(self, doc: Document) -> Verdict | None:
        """The verdict alone."""
        for m in self.rewrite(doc)[1]:
            if m.failed:
                return Verdict(m.reason, m.value, m.threshold)
        return None


class Annotate(Rule):
    """A rule that first writes what it found into the document's columns (language, quality)."""

    @abstractmethod
    def annotate(self, doc: Document) -> Document:
        """The document with its columns set; `measure` reads them from there."""


class Dedup(Stage, ABC):
    """A global stage: documents that share a key are duplicates of each other, transitively; one of a cluster stays.

    It ends a sift. What it needs of a document is computed there (`keys`, `priority`); the rest goes by numbers.
    """

    keep: str
    scope: tuple[str, ...]

    @abstractmethod
    def keys(self, doc: Document) -> NDArray[np.uint64]:
        """Bucket keys, shape (n_keys,), the scope's values hashed in; empty where it can't be a duplicate."""

    def priority(self, doc: Document) -> int:
        """Within a cluster the highest priority stays, ties go to the first in (path, offset) order."""
        return 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A page decoded and parsed: the cheap half of `Extract`'s work."""

    document: Callable[[], Document | Fault]
    """Does the rest. Called once, and after `cheap_text`: it may use up what was parsed."""
    cheap_text: Callable[[], str] | None = None
    """The whole page's text, as far as gates need it, empty where it has none; None: `document` is no dearer."""


class Extract(Stage, ABC):
    """Turns a page into a document: decodes the body, finds the main text."""

    opens: ClassVar[bool] = False
    """Whether `open` gives cheap texts, without which no gate can act."""

    @abstractmethod
    def extract(self, page: Page) -> Document | Fault:
        """The document, or why there is none. Never raises for what a page holds."""

    def open(self, page: Page) -> Opened | Fault:
        """The same work in two halves, so that gates can look at the page between them. Never raises either."""
        return Opened(lambda: self.extract(page))


class Gate(Stage, ABC):
    """A stage that may also judge a page before its main text is found, by the cheap text of the whole page.

    What fails is dropped there and then. Pages of the seeded sample pass every gate, so that what becomes of them tells
    what the gate loses.
    """

    gate: float | None
    """The least measurement that passes; None: there is no gate."""
    gate_reason: ClassVar[str]
    """One of `reasons`, given by the gate alone."""

    @abstractmethod
    def glance(self, doc: Document) -> tuple[Document, Measurement]:
        """Judges by the cheap text.

        Args:
          doc: the page's columns, its text the cheap one.

        Returns:
          The document with the columns that the stage could fill, and the measurement, whose value a float32 holds
          exactly, as signals do: whoever compares it later finds the same.
        """
