"""Document stages, one after the other, over one page: runs inside the supervised child and nowhere else."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from curation import by_language
from curation.child_side import blamed
from curation.edits.pii import Pii
from curation.from_page import as_document, plain_text
from curation.judged import READ_STAGE, Judged, NewTask, Sampling, is_sampled, sample_hash
from curation.steps import GateStep, Step, gates
from schemas.records import Document, Fault, Measurement, Page
from schemas.stage import Annotate, Dedup, Edit, Extract, Opened, Rewrite, Rule, Stage
from storage.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """What a child builds its `Judge` from. Picklable: stages before `setup`."""

    steps: tuple[Step, ...]
    sampling: Sampling
    seed: int
    has_text: bool
    """False where this level ends before `extract`: pages pass without their text."""
    files: Mapping[str, str]
    """Model or list -> the sha256 that the driver resolved."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Distribution -> the version that the driver has."""

    def __call__(self) -> "Judge":
        check_libraries(self.libraries)
        return Judge(self)


class WorkerError(RuntimeError):
    """This machine is not set up as the driver's is."""


def check_libraries(libraries: Mapping[str, str]) -> None:
    """Raises `WorkerError` where a distribution that reaches hashed bytes has another version than the driver's."""
    differ = {name: (version(name), theirs) for name, theirs in libraries.items() if version(name) != theirs}
    if differ:
        words = ", ".join(f"{name} {ours} here and {theirs} there" for name, (ours, theirs) in differ.items())
        raise WorkerError(f"this worker would give other bytes than the driver's machine: {words}; install the same")


def load_stages(steps: tuple[Step, ...], files: Mapping[str, str]) -> tuple[Step, ...]:
    """Stages ready for use, their models and lists resolved on this machine and checked against the driver's hashes."""
    registry = Registry()
    paths = {name: registry.resolve(name, expected=sha) for name, sha in files.items()}
    for step in steps:
        by_language.load_words(step.stage, each=step.each)
    return tuple(replace(step, stage=step.stage.setup(_subset(step.stage, paths))) for step in steps)


def _subset(stage: Stage, paths: Mapping[str, Path]) -> dict[str, Path]:
    return {name: paths[name] for name in stage.files()}


class Judge:
    """Callable: page or document -> `Judged`. Verdicts depend on the page alone."""

    def __init__(self, spec: JudgeSpec) -> None:
        needed = {name for step in spec.steps for name in step.stage.files()}
        self._steps = load_stages(spec.steps, {name: spec.files[name] for name in sorted(needed)})
        self._gates = gates(self._steps)
        self._sampling = spec.sampling
        self._seed = spec.seed
        self._has_text = spec.has_text
        self._extracts = any(isinstance(step.stage, Extract) for step in spec.steps)
        self._pii = next((s.stage for s in spec.steps if isinstance(s.stage, Pii)), None) or Pii()
        self._lowest = _LowestHashes(spec.sampling.dropped_per_reason)

    def __call__(self, item: Page | Document | NewTask) -> Judged:
        if isinstance(item, NewTask):
            self._lowest = _LowestHashes(self._sampling.dropped_per_reason)
            return Judged(None)
        sampled = is_sampled(self._sampling.rate, self._seed, item.id)
        if isinstance(item, Document):
            return self._walk(item, None, sampled)
        if item.fault is not None:
            return Judged(None, READ_STAGE, item.fault.reason, item.fault.value, item.fault.threshold)
        if not self._extracts and self._has_text:
            plain = plain_text(item)
            if isinstance(plain, Fault):
                return Judged(None, READ_STAGE, plain.reason, plain.value, plain.threshold)
            return self._walk(plain, None, sampled)
        return self._walk(as_document(item), item, sampled)

    def _walk(self, doc: Document, page: Page | None, sampled: bool) -> Judged:
        """Through all stages; a sampled page goes on after its verdict, so that every rule is measured."""
        verdict: tuple[str, Measurement] | None = None
        signals: dict[str, float] = {}
        dropped = doc
        for step in self._steps:
            if isinstance(step.stage, Extract):
                assert page is not None, "a level that reads documents has no extract stage"
                with blamed(step.name, step.stage):
                    opened = step.stage.open(page)
                for gate, seen, m in glances(opened, doc, self._gates) if verdict is None else ():
                    signals[gate.signal] = m.value
                    if m.failed and not sampled:
                        return self._dropped_at(gate.name, m, seen, signals, gate=gate.name)
                with blamed(step.name, step.stage):
                    made = opened if isinstance(opened, Fault) else opened.document()
                if isinstance(made, Fault):
                    verdict = verdict or (step.name, Measurement(made.reason, made.value, made.threshold, "max"))
                    break
                doc = made
                continue
            with blamed(step.name, step.stage):
                doc, measured = run_stage(step, doc, whole=sampled)
            signals.update((f"{step.name}.{m.reason}", m.value) for m in measured)
            failed = next((m for m in measured if m.failed), None)
            if failed is not None and verdict is None:
                verdict, dropped = (step.name, failed), doc
                if not sampled:
                    break
        if verdict is None:
            return Judged(doc, sampled=sampled, signals=signals)
        return self._dropped_at(*verdict, dropped, signals, sampled=sampled)

    def _dropped_at(
        self,
        stage: str,
        m: Measurement,
        doc: Document,
        signals: Mapping[str, float],
        *,
        sampled: bool = False,
        gate: str = "",
    ) -> Judged:
        """A dropped page, as it was when it was dropped; a gate saw its cheap text, whose length says nothing."""
        text = self._kept_text(stage, m.reason, doc)
        told = replace(doc, text="", metadata={})
        characters = 0 if gate else len(doc.text)
        return Judged(told, stage, m.reason, m.value, m.threshold, sampled, characters, signals, text, gate)

    def _kept_text(self, stage: str, reason: str, doc: Document) -> str | None:
        """The text of a dropped document if it is among the lowest hashes of its reason, or if all are kept."""
        if not doc.text:
            return None
        if self._sampling.all_texts or self._lowest.admits((stage, reason), sample_hash(self._seed, doc.id)):
            return self._pii.edit(doc).text
        return None


def run_stage(step: Step, doc: Document, *, whole: bool) -> tuple[Document, list[Measurement]]:
    """One stage over one document.

    Args:
      step: anything but `Extract` and `Dedup`.
      doc: as the stage before left it.
      whole: measure on after the first failure.

    Returns:
      The document, and what was measured; where `whole` is false, nothing behind the first failure.
    """
    stage = step.stage_for(doc)
    if isinstance(stage, Edit):
        return stage.edit(doc), []
    if isinstance(stage, Annotate):
        doc = stage.annotate(doc)
    measurements: Iterable[Measurement]
    if isinstance(stage, Rewrite):
        doc, measurements = stage.rewrite(doc)
    else:
        assert isinstance(stage, Rule), f"{step.name!r} is a {type(stage).__name__}, which no document passes through"
        measurements = stage.measure(doc)
    measured = []
    for m in measurements:
        measured.append(m)
        if m.failed and not whole:
            break
    return doc, measured


def glances(
    opened: Opened | Fault, columns: Document, gates: Sequence[GateStep]
) -> Iterator[tuple[GateStep, Document, Measurement]]:
    """What each gate says of a page, lazily; nothing of pages without a cheap text.

    Args:
      opened: from `Extract.open`, not used yet.
      columns: the page's, as a document.
      gates: those that are on.
    """
    if not gates or isinstance(opened, Fault) or opened.cheap_text is None:
        return
    text = opened.cheap_text()
    for gate in gates if text else ():
        with blamed(gate.name, gate.stage):
            seen, m = gate.stage.glance(replace(columns, text=text))
        yield gate, seen, m


class _LowestHashes:
    """Tells whether a hash is among the k lowest seen for its key: what a merged bottom-k sample may still need."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._heaps: dict[tuple[str, str], list[int]] = {}

    def admits(self, key: tuple[str, str], value: int) -> bool:
        heap = self._heaps.setdefault(key, [])
        if len(heap) < self._k:
            heapq.heappush(heap, -value)
            return True
        if self._k and value < -heap[0]:
            heapq.heapreplace(heap, -value)
            return True
        return False


@dataclass(frozen=True, slots=True)
class SignSpec:
    """What a child builds its signer from."""

    step: Step
    files: Mapping[str, str]
    libraries: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> "Signer":
        check_libraries(self.libraries)
        (step,) = load_stages((self.step,), {name: self.files[name] for name in self.step.stage.files()})
        return Signer(step)


class Signer:
    """Callable: document -> its bucket keys and priority."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def __call__(self, doc: Document) -> "tuple[NDArray[np.uint64], int]":
        with blamed(self._step.name, self._step.stage):
            stage = self._step.stage_for(doc)
            assert isinstance(stage, Dedup), f"{self._step.name!r} is a {type(stage).__name__}"
            return stage.keys(doc), stage.priority(doc)
