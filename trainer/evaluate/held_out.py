"""Held-out documents between stages: their loss, and the gate that a stage must pass before the next one begins."""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.training import GateSpec, SourceSpec, StageSpec
from trainer.errors import TrainerError
from trainer.evaluate.bits_per_byte import Loss
from trainer.evaluate.log_probs import Ids, log_probs
from trainer.evaluate.needle import needle, shortest_row
from trainer.model.decoder import Decoder
from trainer.plan.condition import Condition
from trainer.plan.ramps import goals
from trainer.plan.shares import in_share, is_held_out
from trainer.plan.shuffle import order
from trainer.plan.sources import read_columns
from trainer.segments.read import Segments
from trainer.tokenizer.token_bytes import token_bytes
from trainer.tokenizer.tokenizer import Tokenizer

ROWS = 64
"""Held-out documents that are scored; a few more where many sources have a small part of the mix."""
SEGMENTS, MOST_SEGMENTS = 32, 256
"""Segments of a source that are looked through for them, from all over it; and where those have fewer than ROWS."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate saw."""

    loss_before: float
    loss: float | None
    """Nats a target on held-out documents cut to the run's first length; None where that was not asked."""
    needle: float | None
    """Share found at the stage's last length; None where that was not asked."""
    passed: bool
    why: str
    """In words, with the values and what they were held against."""


class HeldOut:
    """Documents that no stage trains on, and what a model makes of them between stages.

    Args:
      documents: Of two tokens or more each.
      tokenizer: The run's.
    """

    def __init__(self, documents: Sequence[Ids], tokenizer: Tokenizer) -> None:
        self.documents = documents
        self._tokenizer = tokenizer
        self._sizes = token_bytes(tokenizer.json)

    def loss(self, decoder: Decoder, length: int) -> Loss:
        """Over the documents, each cut to `length` targets."""
        rows = [row[: length + 1] for row in self.documents]
        found = Loss()
        for row, scores in zip(rows, log_probs(decoder, rows), strict=True):
            found.add(-float(scores.sum()), len(scores), int(self._sizes[row[1:]].sum()))
        return found

    def check(self, gate: GateSpec, stage: str, length: int) -> None:
        """Sees, before anything is trained, that a gate can be held against a model.

        Args:
          gate: What will be asked.
          stage: Its name.
          length: The stage's last sequence length.

        Raises:
          TrainerError: Nothing is held out to measure by, or no needle fits into a row.
        """
        if not self.documents:
            raise TrainerError(
                f"the gate of stage {stage!r} needs held-out text; raise held_out, mix text in, or give more data"
            )
        if gate.needle is not None and (least := shortest_row(self._tokenizer)) > length:
            raise TrainerError(
                f"the gate of stage {stage!r} looks for needles in rows of {length} positions, the shortest takes "
                f"{least}; raise seq_len, or leave gate.needle out"
            )

    def judge(self, decoder: Decoder, gate: GateSpec, short: int, before: float, length: int) -> Measured:
        """Holds a model against a gate that was found sound by `check`.

        Args:
          decoder: As the stage has left it.
          gate: What is asked.
          short: The run's first sequence length.
          before: Loss at that length before the stage.
          length: The stage's last sequence length.
        """
        loss = found = None
        faults: list[str] = []
        if gate.recovered is not None:
            loss = self.loss(decoder, short).loss
            if not loss <= gate.recovered * before:
                faults.append(f"held-out loss {loss:.4f} is above {gate.recovered:g} x {before:.4f}")
        if gate.needle is not None:
            found = needle(decoder, self._tokenizer, np.concatenate(self.documents), length)
            if found < gate.needle:
                faults.append(f"{found:.0%} of the needles are found at length {length}, {gate.needle:.0%} are asked")
        why = "; ".join(faults) or "all that is asked holds"
        return Measured(before, loss, found, not faults, why)


def parts(stage: StageSpec, sources: Mapping[str, SourceSpec]) -> dict[str, int]:
    """How many held-out documents of each source a stage is measured by: as its mix has it, at least one."""
    weights = goals(stage.mix, stage.tokens or 1)
    weights = {name: weight for name, weight in weights.items() if weight > 0 and sources[name].holds_out}
    return {name: math.ceil(ROWS * weight / sum(weights.values())) for name, weight in weights.items()}


def held_out_documents(name: str, spec: SourceSpec, segments: Segments, held_out: float) -> list[Ids]:
    """The held-out documents of a source, as a plan would draw them were they not: those whose ids hash lowest.

    Args:
      name: The source's.
      spec: What it takes of its folder.
      segments: Its folder.
      held_out: Share of documents that is held out.

    Returns:
      At most ROWS documents with targets, by rising hash. In a folder of more than SEGMENTS segments they are the
      lowest of some, the same whenever the folder is the same.

    Raises:
      TrainerError: Its `where` is no condition on its columns.
      IntegrityError: A segment is damaged.
    """
    where = Condition(spec.where, name) if spec.where else None
    found: list[tuple[int, int, int, int]] = []
    turns = order(len(segments.manifest.segments), "held out")[:MOST_SEGMENTS] if held_out else ()
    for turn, i in enumerate(map(int, turns)):
        if turn >= SEGMENTS and len(found) == ROWS:
            break
        columns = read_columns(name, spec, segments, i, {"id_hash", *(where.columns if where else ())})
        hashes, starts = columns["id_hash"].to_numpy(), segments.starts(i)
        chosen = is_held_out(hashes, held_out) & in_share(hashes, spec.share) & (np.diff(starts) > 1)
        if where:
            chosen[chosen] = where.holds(columns.filter(pa.array(chosen)))
        those = np.flatnonzero(chosen)
        those = those[np.argsort(hashes[those], kind="stable")[:ROWS]]
        found += ((int(hashes[n]), i, int(starts[n]), int(starts[n + 1])) for n in those)
        found = heapq.nsmallest(ROWS, found)  # of equal hashes, the one that stands first
    return [segments.read(i, "tokens", start, stop) for _, i, start, stop in found]
