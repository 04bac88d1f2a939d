"""Records and the contract of stages."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import ClassVar

import pytest

from schemas.records import Document, Fault, Measurement, Page, Verdict
from schemas.stage import Annotate, Dedup, Edit, Extract, Rewrite, Rule

NAN = float("nan")

MEASUREMENTS = {
    "min_below": (Measurement("x", 1, 2, "min"), True, -1),
    "min_at": (Measurement("x", 2, 2, "min"), False, 0),
    "min_above": (Measurement("x", 3, 2, "min"), False, 1),
    "max_below": (Measurement("x", 1, 2, "max"), False, 1),
    "max_at": (Measurement("x", 2, 2, "max"), False, 0),
    "max_above": (Measurement("x", 3, 2, "max"), True, -1),
}


@pytest.mark.parametrize("case", MEASUREMENTS)
def test_measurements(case: str) -> None:
    measured, failed, margin = MEASUREMENTS[case]
    assert (measured.failed, measured.margin) == (failed, margin)


@pytest.mark.parametrize("bound", ["min", "max"])
def test_what_is_no_number_fails_nothing(bound: str) -> None:
    assert Measurement("x", NAN, 1, bound).failed is False


@pytest.mark.parametrize("record", [Document("x"), Page("i", "u", "p", 0), Fault("r"), Verdict("r", 0, 1)])
def test_records_do_not_change(record: object) -> None:
    name = "text" if isinstance(record, Document) else "reason" if not isinstance(record, Page) else "id"
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, "y")
    assert not hasattr(record, "__dict__")


@dataclass(frozen=True, kw_only=True)
class Two(Rule):
    """Yields lazily, and says how far it came."""

    reasons: ClassVar[tuple[str, ...]] = ("a", "b")
    came: list[str]

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Both."""
        self.came.append("a")
        yield Measurement("a", len(doc.text), 2, "min")
        self.came.append("b")
        yield Measurement("b", len(doc.text), 4, "max")


RULES = {"x": (Verdict("a", 1, 2), ["a"]), "xx": (None, ["a", "b"]), "xxxxx": (Verdict("b", 5, 4), ["a", "b"])}


@pytest.mark.parametrize("text", RULES)
def test_the_first_failure_ends_a_rule(text: str) -> None:
    came: list[str] = []
    assert (Two(came=came)(Document(text)), came) == RULES[text]


def test_a_rewrite_tells_its_verdict() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Shorten(Rewrite):
        def rewrite(self, doc: Document) -> tuple[Document, tuple[Measurement, ...]]:
            return replace(doc, text=doc.text[1:]), (Measurement("empty", len(doc.text) - 1, 1, "min"),)

    assert Shorten()(Document("x")) == Verdict("empty", 0, 1)
    assert Shorten()(Document("xy")) is None


def test_what_a_stage_need_not_say() -> None:
    stage = Two(came=[])
    assert (stage.files(), stage.libraries(), stage.deviations(), stage.version) == ((), (), (), 1)
    assert stage.setup({}) is stage
    assert stage.needs_text


@pytest.mark.parametrize("kind", [Rule, Edit, Rewrite, Annotate, Extract, Dedup])
def test_kinds_are_abstract(kind: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        kind()
