"""A recipe's enabled stages in order: what may stand where, which fuse into a level, which gate the pages of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from curation import by_language
from schemas.records import Document
from schemas.stage import Dedup, Extract, Gate, Stage

CODE_LIBRARIES = ("numpy", "pyarrow", "xxhash")
"""Their output reaches hashed bytes whatever the stages are."""


@dataclass(frozen=True, slots=True)
class Step:
    """One enabled stage under its registry name."""

    name: str
    stage: Stage
    each: bool = False
    """Takes every document's own language (`curation.by_language`)."""

    def stage_for(self, doc: Document) -> Stage:
        """The stage as this document meets it."""
        return by_language.variant(self.name, self.stage, doc.language) if self.each else self.stage


@dataclass(frozen=True, slots=True)
class Level:
    """Stages that fuse into one sift, and the dedup stage that ends it (None at the last level)."""

    index: int
    steps: tuple[Step, ...]
    dedup: Step | None
    from_input: bool
    """Reads pages of the input (the text is not known before); else documents of the level before."""
    has_text: bool
    """Its documents carry their text: false for a level that ends before `extract`."""


@dataclass(frozen=True, slots=True)
class GateStep:
    """A stage whose gate is on, by what the ledger and the signals call it."""

    name: str
    stage: Gate
    threshold: float

    @property
    def signal(self) -> str:
        """The column of the signals that holds its measurements."""
        return f"{self.name}.{self.stage.gate_reason}"


def cut_levels(steps: Sequence[Step]) -> tuple[Level, ...]:
    """The steps cut behind each dedup stage; the last level has none."""
    extracts = any(isinstance(step.stage, Extract) for step in steps)
    found: list[Level] = []
    fused: list[Step] = []
    known = False  # is the text known at the end of the level before?
    for step in (*steps, None):
        if step is not None and not isinstance(step.stage, Dedup):
            fused.append(step)
            continue
        text = known or not extracts or any(isinstance(s.stage, Extract) for s in fused)
        if step is not None or fused or not found:
            found.append(Level(len(found), tuple(fused), step, from_input=not known, has_text=text))
        known, fused = text, []
    return tuple(found)


def gates(steps: Sequence[Step]) -> tuple[GateStep, ...]:
    """The gates that are on, in the order in which pages meet them."""
    return tuple(
        GateStep(step.name, step.stage, step.stage.gate)
        for step in steps
        if isinstance(step.stage, Gate) and step.stage.gate is not None
    )


def library_versions(steps: Sequence[Step]) -> dict[str, str]:
    """Distribution -> installed version, of all whose output reaches these stages' hashed bytes."""
    stages = [step.stage for step in steps]
    stages += [by_language.variant(step.name, step.stage, by_language.KOREAN) for step in steps if step.each]
    names = {*CODE_LIBRARIES, *(name for stage in stages for name in stage.libraries())}
    return {name: version(name) for name in sorted(names)}


def misplaced(steps: Sequence[Step]) -> Iterator[str]:
    """What is wrong with the order, a line a fault."""
    at = next((i for i, step in enumerate(steps) if isinstance(step.stage, Extract)), 0)
    for step in steps[:at]:
        if step.stage.needs_text:
            yield f"the stage {step.name!r} needs a page's text and stands before {steps[at].name!r}"
    names = [step.name for step in steps]
    for gate in gates(steps):
        fault = _misplaced_gate(gate.name, steps[: names.index(gate.name)])
        if fault:
            yield f"{gate.name}.gate = {gate.threshold!r}: {fault}"


def _misplaced_gate(name: str, before: Sequence[Step]) -> str:
    """Why a stage behind these can have no gate, empty where it can."""
    at = next((i for i, step in enumerate(before) if isinstance(step.stage, Extract)), None)
    if at is None:
        return "no stage extract stands before it, whose work a gate could spare; leave the gate out"
    extract = before[at].stage
    if isinstance(extract, Extract) and not extract.opens:
        return f"the stage {before[at].name!r} gives gates no cheap text (`schemas.stage.Extract.open`)"
    dedup = next((step.name for step in before[at:] if isinstance(step.stage, Dedup)), None)
    if dedup:
        return f"{dedup!r}, which stands between extract and it, would miss the pages dropped; put {name!r} before it"
    return ""
