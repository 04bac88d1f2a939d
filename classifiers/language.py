"""The language stage: which language a text is in, and whether it is wanted."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np

from classifiers.fasttext import LIBRARY, FastText, load
from classifiers.labels import LID176_TO_FINEWEB2
from schemas.records import Document, Measurement
from schemas.stage import Annotate, Gate

_ALTERNATIVES = 100  # no more labels can have a probability of .01


@dataclass(frozen=True, kw_only=True)
class Language(Annotate, Gate):
    """Identifies the language by a fastText model over the whole text and keeps what is wanted and sure enough.

    Sets `language` (the label), `language_score` (its probability), `language_script` (of labels such as `kor_Hang`)
    and `top_languages` (every label with at least `top_score`, the best included).

    Reference: datatrove 0.10 `LanguageFilter` with `FT176LID` or `GlotLID`: newlines become spaces, nothing else is
    done to the text; FineWeb keeps `en` above .65, FineWeb-2 keeps alternatives above .01.

    With `gate` the model also sees the whole page's text, menus and all, before the main text is found, and a page is
    dropped there where the probabilities of the wanted languages add up to less. The published recipes have no gate.

    Deviations: a score equal to the threshold keeps (house rule), where datatrove asks for more. With several
    languages datatrove keeps a text if any wanted language passes, which below .5 need not be the most probable one;
    here that one decides. `language` holds the whole FineWeb-2 label `kor_Hang`, not `kor`, since a language in two
    scripts is two languages to thresholds, segmenters and parts.
    """

    version: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = ("unlikely_language", "wrong_language", "low_language_score")
    gate_reason: ClassVar[str] = "unlikely_language"

    languages: tuple[str, ...] = ()
    """Labels to keep; none keeps all."""
    min_score: float | None = 0.65
    """None keeps all: the stage only labels."""
    model: str = "lid176"
    """`lid176`, `glotlid`, another name of the registry, or the path of a model."""
    labels: Literal["own", "fineweb2"] = "own"
    """`own`: as the model has them (ISO 639 codes of lid.176, `kor_Hang` of GlotLID). `fineweb2`: lid.176's are mapped
    to FineWeb-2's, language and most usual script."""
    top_score: float = 0.01
    gate: float | None = None
    """Least probability, over the whole page's text, that it is in one of `languages`; None: no gate."""
    _model: FastText | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses labels that can never come up, and a gate that could drop no page or any.

        Raises:
          ValueError: a label of the wrong kind, a gate without wanted languages or outside (0, 1].
        """
        if self.gate is not None and not self.languages:
            raise ValueError(f"gate = {self.gate!r} drops pages unlikely to be in `languages`, which names none")
        if self.gate is not None and not 0 < self.gate <= 1:
            raise ValueError(f"gate = {self.gate!r}: a probability above 0 and up to 1, such as 0.1, or null for none")
        if self.labels == "fineweb2" or self.model == "glotlid":
            for label in self.languages:
                if "_" not in label:
                    raise ValueError(f"languages: {label!r} is no label such as 'kor_Hang'")
        elif self.model == "lid176":
            for label in self.languages:
                if label not in LID176_TO_FINEWEB2:
                    raise ValueError(f"languages: {label!r} is none of lid.176's codes such as 'en' (labels = 'own')")

    def files(self) -> tuple[str, ...]:
        """The model."""
        return (self.model,)

    def libraries(self) -> tuple[str, ...]:
        """fastText."""
        return (LIBRARY,)

    def deviations(self) -> tuple[str, ...]:
        """FineWeb-2's labels by another model than its own; a gate."""
        found = []
        if self.labels == "fineweb2" and self.model != "glotlid":
            found.append(
                f"the language is identified by {self.model}, whose labels are mapped to FineWeb-2's, with the "
                f"threshold {self.min_score} of its own, in place of GlotLID and its thresholds"
            )
        if self.gate is not None:
            found.append(
                f"pages whose whole text is in a wanted language with a probability below {self.gate} are dropped "
                f"before their main text is found; what that loses is measured on the seeded sample"
            )
        return tuple(found)

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Loads the model."""
        return dataclasses.replace(self, _model=load(files[self.model]))

    def annotate(self, doc: Document) -> Document:
        """Sets the language columns."""
        return self._labelled(doc, self._probabilities(doc.text))

    def glance(self, doc: Document) -> tuple[Document, Measurement]:
        """`unlikely_language`: the probability of all wanted languages together."""
        assert self.gate is not None, "a gate that is off was asked"
        named = self._probabilities(doc.text)
        wanted = float(np.float32(sum(score for label, score in named if label in self.languages)))
        return self._labelled(doc, named), Measurement(self.gate_reason, wanted, self.gate, "min")

    def _probabilities(self, text: str) -> list[tuple[str, float]]:
        """Labels and their probabilities, best first."""
        assert self._model is not None, "setup was not called"
        return [(self._label(label), p) for label, p in self._model.predict(text.replace("\n", " "), k=_ALTERNATIVES)]

    def _labelled(self, doc: Document, named: list[tuple[str, float]]) -> Document:
        label, score = named[0]
        return dataclasses.replace(
            doc,
            language=label,
            language_score=score,
            language_script=label.partition("_")[2],
            top_languages=tuple(pair for pair in named if pair[1] >= self.top_score),
        )

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """`wrong_language`: 1 where the label is wanted, 0 where not; `low_language_score`: its probability."""
        if self.languages:
            yield Measurement("wrong_language", float(doc.language in self.languages), 1.0, "min")
        if self.min_score is not None:
            yield Measurement("low_language_score", doc.language_score, self.min_score, "min")

    def _label(self, label: str) -> str:
        return LID176_TO_FINEWEB2.get(label, label) if self.labels == "fineweb2" else label
