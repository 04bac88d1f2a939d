"""One page through the stages: verdicts, sampled pages, dropped texts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from curation.edits.pii import Pii
from curation.extract import Extract
from curation.judge import Judge, JudgeSpec, SignSpec, plain_text, run_stage
from curation.judged import Judged, NewTask, sample_hash
from curation.recipe import Step
from curation.rules.gopher_quality import GopherQuality
from dedup.exact import UrlDedup
from dedup.minhash import MinHash
from schemas.recipe import Sample
from schemas.records import Body, Document, Fault, Measurement, Page
from schemas.stage import Annotate, Rewrite, Rule, Stage

NEVER, ALWAYS = Sample(rate=0), Sample(rate=1)


@dataclass(frozen=True, kw_only=True)
class Length(Rule):
    """Bounds of the text's length."""

    reasons: ClassVar[tuple[str, ...]] = ("short", "long")

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Both, lazily."""
        yield Measurement("short", len(doc.text), 3, "min")
        yield Measurement("long", len(doc.text), 6, "max")


@dataclass(frozen=True, kw_only=True)
class Labels(Annotate):
    """A language column by the first letter."""

    reasons: ClassVar[tuple[str, ...]] = ("no_letter",)

    def annotate(self, doc: Document) -> Document:
        """Sets it."""
        return replace(doc, language=doc.text[:1], language_score=0.5)

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Reads it."""
        yield Measurement("no_letter", float(doc.language.isalpha()), 1, "min")


@dataclass(frozen=True, kw_only=True)
class Halves(Rewrite):
    """Keeps the first half, then judges it."""

    reasons: ClassVar[tuple[str, ...]] = ("too_little_left",)

    def rewrite(self, doc: Document) -> tuple[Document, tuple[Measurement, ...]]:
        """Both."""
        doc = replace(doc, text=doc.text[: len(doc.text) // 2])
        return doc, (Measurement("too_little_left", len(doc.text), 2, "min"),)


def page(text: str, page_id: str = "p", **more: object) -> Page:
    return Page(page_id, "http://a/", "a.jsonl", 5, body=text.encode(), **more)  # type: ignore[arg-type]


def judge(*stages: Stage, sample: Sample = NEVER, has_text: bool = True) -> Judge:
    steps = tuple(Step(type(stage).__name__.lower(), stage) for stage in stages)
    return JudgeSpec(steps, sample, 0, has_text, {})()


VERDICTS: dict[str, tuple[str, tuple[str, str, float, float], dict[str, float]]] = {
    "below": ("ab", ("length", "short", 2, 3), {"length.short": 2}),
    "at_min": ("abc", ("", "", 0, 0), {"length.short": 3, "length.long": 3, "labels.no_letter": 1}),
    "at_max": ("abcdef", ("", "", 0, 0), {"length.short": 6, "length.long": 6, "labels.no_letter": 1}),
    "above": ("abcdefg", ("length", "long", 7, 6), {"length.short": 7, "length.long": 7}),
    "by_the_second": (
        "1234", ("labels", "no_letter", 0, 1), {"length.short": 4, "length.long": 4, "labels.no_letter": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS)
def test_the_first_failure_is_the_verdict(case: str) -> None:
    text, verdict, signals = VERDICTS[case]
    judged = judge(Length(), Labels())(page(text))
    assert (judged.stage, judged.reason, judged.value, judged.threshold) == verdict
    assert judged.signals == signals
    assert judged.kept is (verdict[0] == "")
    assert not judged.sampled
    assert judged.doc is not None
    assert judged.doc.text == (text if judged.kept else "")
    assert judged.characters == (0 if judged.kept else len(text))
    assert judged.dropped_text == (None if judged.kept else text)


def test_a_sampled_page_is_measured_to_the_end() -> None:
    judged = judge(Length(), Labels(), sample=ALWAYS)(page("1"))
    assert (judged.stage, judged.reason, judged.sampled) == ("length", "short", True)
    assert judged.signals == {"length.short": 1, "length.long": 1, "labels.no_letter": 0}
    assert judged.dropped_text == "1"  # as it was where it was dropped
    assert judged.doc is not None
    assert judged.doc.language == ""


def test_who_is_sampled_hangs_on_seed_and_id_alone() -> None:
    half = JudgeSpec((), Sample(rate=0.5), 7, True, {})()
    ids = [f"page {i}" for i in range(400)]
    sampled = {name for name in ids if half(page("x", name)).sampled}
    assert sampled == {name for name in ids if sample_hash(7, name) < 2**63}
    assert 150 < len(sampled) < 250
    assert sampled != {name for name in ids if sample_hash(8, name) < 2**63}
    assert sample_hash(0, "\ud800") != sample_hash(0, "?")


FAULTS: dict[str, tuple[Page, tuple[str, str, float, float]]] = {
    "told_by_the_reader": (page("", fault=Fault("false_length", 9, 7)), ("read", "false_length", 9, 7)),
    "html_without_extract": (page("<p>", body_kind=Body.HTTP), ("read", "needs_extract", 0, 0)),
    "no_utf8": (Page("p", "", "a", 0, body=b"ab\xff"), ("read", "undecodable_bytes", 2, 0)),
}


@pytest.mark.parametrize("case", FAULTS)
def test_pages_without_text(case: str) -> None:
    given, verdict = FAULTS[case]
    judged = judge(Length())(given)
    assert (judged.stage, judged.reason, judged.value, judged.threshold) == verdict
    assert (judged.doc, judged.dropped_text, judged.signals) == (None, None, {})


def test_a_fault_of_extract_is_its_verdict() -> None:
    answer = Page("p", "http://a/", "a", 0, body_kind=Body.HTTP, body=b"HTTP/1.1 404 Not Found\r\n\r\n")
    judged = judge(Extract(), Length())(answer)
    assert (judged.stage, judged.reason, judged.value) == ("extract", "http_status", 404)
    assert judged.dropped_text is None


def test_text_passes_extract_untouched() -> None:
    judged = judge(Extract(), Length())(page("<p>x"))
    assert judged.kept
    assert judged.doc is not None
    assert judged.doc.text == "<p>x"


def test_a_level_before_extract_has_no_text() -> None:
    judged = judge(has_text=False)(page("some text", digest="sha1:X", metadata={"k": 1}))
    assert judged == Judged(
        Document("", "p", "http://a/", "a.jsonl", 5, digest="sha1:X", metadata={"k": 1}), sampled=False
    )


def test_documents_of_the_level_before() -> None:
    judged = judge(Halves())(Document("abcdef", "d"))
    assert judged.kept
    assert judged.doc == Document("abc", "d")
    assert judged.signals == {"halves.too_little_left": 3}


def test_dropped_texts_are_cleaned_and_few() -> None:
    sample = Sample(rate=0, dropped_per_reason=3)
    ask = judge(GopherQuality(), sample=sample)
    ids = [f"page {i}" for i in range(60)]
    kept = {name for name in ids if ask(page("me@mine.org", name)).dropped_text}
    lowest = sorted(ids, key=lambda name: sample_hash(0, name))[:3]
    assert kept >= set(lowest)  # a superset that any merge still needs
    assert len(kept) < 30
    assert ask(page("me@mine.org", lowest[0])).dropped_text in (None, *Pii().emails)
    assert judge(Length(), sample=sample)(page("")).dropped_text is None


def test_dropped_texts_of_a_task_hang_on_no_other_task() -> None:
    """Its files are shared by runs that have not all of the same tasks."""
    first, second = ([page("ab", f"{task} {i}") for i in range(20)] for task in "xy")
    sample = Sample(rate=0, dropped_per_reason=2)
    alone, after = judge(Length(), sample=sample), judge(Length(), sample=sample)
    for given in (NewTask(), *first, NewTask()):
        after(given)
    assert [alone(p).dropped_text for p in second] == [after(p).dropped_text for p in second]


def test_all_dropped_texts_by_option() -> None:
    ask = judge(Length(), sample=Sample(rate=0, dropped_per_reason=0, dropped_texts="all"))
    assert [ask(page("ab", str(i))).dropped_text for i in range(5)] == ["ab"] * 5
    none = judge(Length(), sample=Sample(rate=0, dropped_per_reason=0))
    assert [none(page("ab", str(i))).dropped_text for i in range(5)] == [None] * 5


def test_answers_depend_on_the_page_alone() -> None:
    pages = [page(text * 3, f"{i}") for i, text in enumerate(["a", "bb", "1", "", "abcdefgh", "me@mine.org "])]
    ask = judge(Length(), Labels(), Pii(), sample=Sample(rate=0.5, dropped_texts="all"))
    assert [ask(p) for p in pages] == [ask(p) for p in reversed(pages)][::-1]


def test_run_stage_edits_annotates_and_measures() -> None:
    doc, measured = run_stage(Step("labels", Labels()), Document("x"), whole=False)
    assert (doc.language, [m.reason for m in measured]) == ("x", ["no_letter"])
    doc, measured = run_stage(Step("length", Length()), Document("x"), whole=True)
    assert [(m.reason, m.value, m.failed) for m in measured] == [("short", 1, True), ("long", 1, False)]
    edited, measured = run_stage(Step("pii", Pii()), Document("me@mine.org"), whole=False)
    assert (edited.text in Pii().emails, measured) == (True, [])


def test_plain_text_keeps_the_columns() -> None:
    made = plain_text(page("글", date="2026", dump="d", metadata={"a": 1}))
    assert made == Document("글", "p", "http://a/", "a.jsonl", 5, "d", "2026", metadata={"a": 1})


@pytest.mark.parametrize("stage", [UrlDedup(), MinHash()])
def test_signer(stage: MinHash | UrlDedup) -> None:
    doc = Document("a b c d e f g h", url="http://a/")
    keys, priority = SignSpec(Step("x", stage), {})()(doc)
    assert (keys == stage.keys(doc)).all()
    assert (keys.dtype, priority) == (np.uint64, 0)


def test_stages_get_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolved by name on this machine, and checked against the driver's hash."""
    seen: dict[str, Path] = {}

    @dataclass(frozen=True, kw_only=True)
    class Listed(Length):
        def files(self) -> tuple[str, ...]:
            return (f"file:{tmp_path / 'list'}",)

        def setup(self, files: object) -> "Listed":
            seen.update(files)  # type: ignore[call-overload]
            return self

    (tmp_path / "list").write_text("x")
    name = f"file:{tmp_path / 'list'}"
    sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    JudgeSpec((Step("listed", Listed()),), NEVER, 0, True, {name: sha})()
    assert seen == {name: tmp_path / "list"}
    with pytest.raises(OSError, match="sha256"):
        JudgeSpec((Step("listed", Listed()),), NEVER, 0, True, {name: "0" * 64})()
