"""The quality stage: a score by a fastText classifier of the user's own, and a threshold."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from classifiers.fasttext import LIBRARY, FastText, load, one_line
from schemas.records import Document, Measurement
from schemas.stage import Annotate

POSITIVE, NEGATIVE = "hq", "lq"
"""Labels of the models that `classifiers.train` makes."""


@dataclass(frozen=True, kw_only=True)
class Quality(Annotate):
    """Scores a text by the probability of one label and drops what scores below a threshold.

    Reference: the fastText filter of DCLM (Li et al. 2024, arXiv 2406.11794), whose released model goes with
    `label: __label__hq`; the text reaches the model as there, lines joined by spaces.
    """

    version: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = ("low_quality",)

    model: str
    """Name in the registry, or path, of a supervised fastText model."""
    label: str = POSITIVE
    """The good label, with or without `__label__`."""
    min_score: float | None = None
    """None: the score becomes a column and drops nothing."""
    _model: FastText | None = field(default=None, repr=False, compare=False)

    def files(self) -> tuple[str, ...]:
        """The model."""
        return (self.model,)

    def libraries(self) -> tuple[str, ...]:
        """fastText."""
        return (LIBRARY,)

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Loads the model.

        Raises:
          ModelError: it does not know the label.
        """
        model = load(files[self.model])
        model.require(self._label)
        return dataclasses.replace(self, _model=model)

    def annotate(self, doc: Document) -> Document:
        """Sets `quality_score`."""
        assert self._model is not None, "setup was not called"
        scores = dict(self._model.predict(one_line(doc.text), k=-1))
        return dataclasses.replace(doc, quality_score=min(1.0, scores.get(self._label, 0.0)))

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """`low_quality`: the score."""
        if self.min_score is not None:
            yield Measurement("low_quality", doc.quality_score or 0.0, self.min_score, "min")

    @property
    def _label(self) -> str:
        return self.label.removeprefix("__label__")
