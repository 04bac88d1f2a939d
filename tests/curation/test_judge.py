"""One page through the stages: verdicts, sampled pages, dropped texts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from curation.edits.pii import Pii
from curation.extract import Extract
from curation.from_page import plain_text
from curation.judge import Judge, JudgeSpec, SignSpec, run_stage
from curation.judged import Judged, NewTask, Sampling, sample_hash
from curation.rules.gopher_quality import GopherQuality
from curation.steps import Step
from dedup.exact import UrlDedup
from dedup.minhash import MinHash
from schemas.records import Body, Document, Fault, Measurement, Page
from schemas.stage import Annotate, Gate, Rewrite, Rule, Stage


def sampling(rate: float, *, few: int = 300, all_texts: bool = False) -> Sampling:
    """`few` texts are kept of each reason."""
    return Sampling(rate, few, all_texts)


NEVER, ALWAYS = sampling(0), sampling(1)


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


@dataclass(frozen=True, kw_only=True)
class Capitals(Annotate, Gate):
    """Wants capitals, and gates by their number in the cheap text."""

    reasons: ClassVar[tuple[str, ...]] = ("few_at_a_glance", "few")
    gate_reason: ClassVar[str] = "few_at_a_glance"
    gate: float | None = None

    def annotate(self, doc: Document) -> Document:
        """Counts them."""
        return replace(doc, language_score=float(sum(map(str.isupper, doc.text))))

    def measure(self, doc: Document) -> Iterator[Measurement]:
        """Reads the count."""
        yield Measurement("few", doc.language_score, 2, "min")

    def glance(self, doc: Document) -> tuple[Document, Measurement]:
        """Counts them in the cheap text."""
        assert self.gate is not None
        doc = self.annotate(doc)
        return doc, Measurement(self.gate_reason, doc.language_score, self.gate, "min")


def page(text: str, page_id: str = "p", **more: object) -> Page:
    return Page(page_id, "http://a/", "a.jsonl", 5, body=text.encode(), **more)  # type: ignore[arg-type]


def judge(*stages: Stage, sample: Sampling = NEVER, has_text: bool = True) -> Judge:
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
    half = JudgeSpec((), sampling(0.5), 7, True, {})()
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


def web(capitals: int, page_id: str = "p", **more: object) -> Page:
    """A page with so many capitals in its menu, and two in its text."""
    source = f"<html><body><nav>{'A ' * capitals}menu</nav><article><p>The wheel turns, and Nobody minds the water."
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    return replace(page("", page_id, body_kind=Body.HTTP, **more), body=head + source.encode())


def test_a_page_below_a_gate_is_dropped_there() -> None:
    judged = judge(Extract(), Capitals(gate=5))(web(2))
    verdict = ("capitals", "few_at_a_glance", 4, 5, "capitals")
    assert (judged.stage, judged.reason, judged.value, judged.threshold, judged.gate) == verdict
    assert judged.signals == {"capitals.few_at_a_glance": 4}
    assert judged.doc == Document("", "p", "http://a/", "a.jsonl", 5, language_score=4)
    assert judged.dropped_text == "A A menu The wheel turns, and Nobody minds the water."
    assert judged.characters == 0  # of the main text, which nobody knows


@pytest.mark.parametrize(("capitals", "gate"), [(3, 5), (4, 5), (0, None)])
def test_a_page_at_or_above_a_gate_goes_on(capitals: int, gate: float | None) -> None:
    judged = judge(Extract(), Capitals(gate=gate))(web(capitals))
    assert (judged.kept, judged.gate) == (True, "")
    assert judged.doc is not None
    assert judged.doc.text == "The wheel turns, and Nobody minds the water."
    assert judged.doc.language_score == 2  # of the main text, not of what the gate saw
    assert judged.signals == {**({"capitals.few_at_a_glance": capitals + 2} if gate else {}), "capitals.few": 2}


def test_a_gate_asks_nothing_more_of_a_page_that_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is its use."""
    monkeypatch.setattr("curation.extract.trafilatura.extract", lambda *_, **__: pytest.fail("looked for the text"))
    assert judge(Extract(), Capitals(gate=5))(web(0)).gate == "capitals"


def test_a_sampled_page_passes_every_gate() -> None:
    judged = judge(Extract(), Capitals(gate=5), sample=ALWAYS)(web(0))
    assert (judged.kept, judged.sampled, judged.gate) == (True, True, "")
    assert judged.signals == {"capitals.few_at_a_glance": 2, "capitals.few": 2}
    fallen = judge(Extract(), Capitals(gate=5), Length(), sample=ALWAYS)(web(0))
    assert (fallen.stage, fallen.reason, fallen.gate) == ("length", "long", "")


UNASKED: dict[str, Page] = {
    "text": page("a"),
    "fault": web(0, fault=Fault("false_length", 9, 7)),
    "no_page": replace(web(0), body=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{}"),
    "no_words": replace(web(0), body=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body><p>"),
}


@pytest.mark.parametrize("case", UNASKED)
def test_pages_that_come_to_no_gate(case: str) -> None:
    """Text is as dear as a glance at it; the others are told by what they lack."""
    judged = judge(Extract(), Capitals(gate=5))(UNASKED[case])
    assert (judged.gate, judged.reason == "few_at_a_glance") == ("", False)
    assert "capitals.few_at_a_glance" not in judged.signals


def test_a_page_dropped_before_comes_to_no_gate() -> None:
    no_columns = judge(Length(), Extract(), Capitals(gate=5), sample=ALWAYS)(web(0))
    assert (no_columns.stage, no_columns.gate) == ("length", "")
    assert "capitals.few_at_a_glance" not in no_columns.signals


def test_the_first_gate_that_fails_names_itself() -> None:
    steps = (Step("extract", Extract()), Step("one", Capitals(gate=1)), Step("two", Capitals(gate=9)),
             Step("three", Capitals(gate=8)))  # fmt: skip
    judged = JudgeSpec(steps, NEVER, 0, True, {})()(web(0))
    assert (judged.stage, judged.gate, judged.threshold) == ("two", "two", 9)
    assert judged.signals == {"one.few_at_a_glance": 2, "two.few_at_a_glance": 2}


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
    sample = sampling(0, few=3)
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
    sample = sampling(0, few=2)
    alone, after = judge(Length(), sample=sample), judge(Length(), sample=sample)
    for given in (NewTask(), *first, NewTask()):
        after(given)
    assert [alone(p).dropped_text for p in second] == [after(p).dropped_text for p in second]


def test_all_dropped_texts_by_option() -> None:
    ask = judge(Length(), sample=sampling(0, few=0, all_texts=True))
    assert [ask(page("ab", str(i))).dropped_text for i in range(5)] == ["ab"] * 5
    none = judge(Length(), sample=sampling(0, few=0))
    assert [none(page("ab", str(i))).dropped_text for i in range(5)] == [None] * 5


def test_answers_depend_on_the_page_alone() -> None:
    pages = [page(text * 3, f"{i}") for i, text in enumerate(["a", "bb", "1", "", "abcdefgh", "me@mine.org "])]
    ask = judge(Length(), Labels(), Pii(), sample=sampling(0.5, all_texts=True))
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
