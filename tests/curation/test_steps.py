"""The order of stages: which gates a recipe has, where they may stand, and which signals that gives."""

from dataclasses import dataclass

import pytest

from classifiers.language import Language
from curation.edits.ftfy import Ftfy
from curation.extract import Extract
from curation.levels import signal_names
from curation.rules.gopher_quality import GopherQuality
from curation.rules.url_filter import UrlFilter
from curation.steps import Step, cut_levels, gates, misplaced
from dedup.exact import DigestDedup
from dedup.minhash import MinHash
from schemas import stage
from schemas.records import Document, Fault, Page
from schemas.stage import Stage

OFF, ON = Language(languages=("en",)), Language(languages=("en",), gate=0.1)


@dataclass(frozen=True, kw_only=True)
class WholeExtract(stage.Extract):
    """A user's own, which does all its work at once."""

    def extract(self, page: Page) -> Document | Fault:
        """Never asked."""
        return Fault("never")


NAMES: dict[type[Stage], str] = {
    Language: "language", Ftfy: "ftfy", Extract: "extract", WholeExtract: "own", GopherQuality: "gopher_quality",
    UrlFilter: "url_filter", DigestDedup: "digest_dedup", MinHash: "minhash",
}  # fmt: skip


def steps(*stages: Stage) -> tuple[Step, ...]:
    return tuple(Step(NAMES[type(stage)], stage) for stage in stages)


ORDERS: dict[str, tuple[tuple[Stage, ...], list[str]]] = {
    "published": ((UrlFilter(), Extract(), OFF, MinHash()), []),
    "gated": ((UrlFilter(), Extract(), ON, MinHash()), []),
    "stages_between": ((Extract(), Ftfy(), ON), []),
    "dedup_before_extract": ((DigestDedup(), Extract(), ON), []),
    "no_extract": ((Ftfy(), ON), ["language.gate = 0.1: no stage extract stands before it, whose work a gate could "
                                  "spare; leave the gate out"]),
    "dedup_between": ((Extract(), MinHash(), ON), ["language.gate = 0.1: 'minhash', which stands between extract and "
                                                   "it, would miss the pages dropped; put 'language' before it"]),
    "no_cheap_text": ((WholeExtract(), ON), ["language.gate = 0.1: the stage 'own' gives gates no cheap text "
                                             "(`schemas.stage.Extract.open`)"]),
    "no_cheap_text_no_gate": ((WholeExtract(), OFF), []),
    "text_before_extract": ((Ftfy(), Extract()), ["the stage 'ftfy' needs a page's text and stands before 'extract'"]),
    "gate_before_extract": ((ON, Extract()), [
        "the stage 'language' needs a page's text and stands before 'extract'",
        "language.gate = 0.1: no stage extract stands before it, whose work a gate could spare; leave the gate out",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", ORDERS)
def test_where_stages_may_stand(case: str) -> None:
    stages, faults = ORDERS[case]
    assert list(misplaced(steps(*stages))) == faults


def test_gates_that_are_on() -> None:
    assert gates(steps(Extract(), OFF)) == ()
    (gate,) = gates(steps(Extract(), ON, GopherQuality()))
    assert (gate.name, gate.stage, gate.threshold, gate.signal) == ("language", ON, 0.1, "language.unlikely_language")


@pytest.mark.parametrize(("language", "gated"), [(OFF, []), (ON, ["language.unlikely_language"])])
def test_a_gate_that_is_off_has_no_signal(language: Language, gated: list[str]) -> None:
    (level,) = cut_levels(steps(Extract(), language))
    assert list(signal_names(level)) == [*gated, "language.wrong_language", "language.low_language_score"]
