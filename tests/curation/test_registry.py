"""Stages by name: our own, and those that other distributions add by entry points."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from curation.registry import ENTRY_POINT_GROUP, STAGES, StageError, stages
from schemas.stage import Annotate, Dedup, Edit, Extract, Rewrite, Rule
from tests.curation.own_stages import ShortTexts

NAMES = (
    "url_filter", "url_dedup", "digest_dedup", "extract", "language", "gopher_repetition", "gopher_quality", "c4",
    "fineweb", "minhash", "ftfy", "pii", "symbol_lines", "quality", "token_count",
)  # fmt: skip

OWN = "tests.curation.own_stages:ShortTexts"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the entry points that are installed."""

    def install(*points: tuple[str, str]) -> None:
        found = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points]
        for point in found:
            vars(point)["dist"] = SimpleNamespace(name="theirs", version="1.2")
        monkeypatch.setattr("curation.registry.entry_points", lambda group: found if group == ENTRY_POINT_GROUP else [])

    return install


def test_our_names() -> None:
    assert tuple(STAGES) == NAMES
    for name, kind in STAGES.items():
        assert kind.__name__.lower() == name.replace("_", "")
        assert issubclass(kind, Rule | Edit | Rewrite | Annotate | Dedup | Extract), name


def test_what_is_installed_joins(installed: Callable[..., None]) -> None:
    installed(("short_texts", OWN))
    assert stages() == {**STAGES, "short_texts": ShortTexts}
    assert "short_texts" not in STAGES


WRONG = {
    "takes_our_name": (("c4", OWN), f"the entry point {OWN!r} of theirs 1.2 names its stage 'c4', which exists"),
    "no_stage": (
        ("mine", "tests.curation.own_stages:TEN"),
        "the entry point 'mine' = 'tests.curation.own_stages:TEN' of theirs 1.2 is 10, not a subclass of",
    ),
    "no_class": (("mine", "tests.curation.own_stages"), "the entry point 'mine' = 'tests.curation.own_stages' of th"),
    "no_module": (
        ("mine", "tests.nowhere:Stage"),
        "the entry point 'mine' = 'tests.nowhere:Stage' of theirs 1.2 can't be loaded: No module named 'tests.nowhere'",
    ),
    "no_attribute": (
        ("mine", "tests.curation.own_stages:Nothing"),
        "the entry point 'mine' = 'tests.curation.own_stages:Nothing' of theirs 1.2 can't be loaded: module 'tests.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_join(case: str, installed: Callable[..., None]) -> None:
    point, words = WRONG[case]
    installed(point)
    with pytest.raises(StageError) as caught:
        stages()
    assert str(caught.value).startswith(words)


def test_two_that_clash(installed: Callable[..., None]) -> None:
    installed(("mine", OWN), ("mine", "tests.curation.own_stages:Killer"))
    with pytest.raises(StageError, match=r"names its stage 'mine', which exists already; give it another name"):
        stages()
