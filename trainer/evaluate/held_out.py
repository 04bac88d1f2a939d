"""Held-out documents between stages: their loss, and the gate that a stage must pass before the next one begins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.training import GateSpec
from trainer.errors import TrainerError
from trainer.evaluate.bits_per_byte import Loss
from trainer.evaluate.log_probs import log_probs
from trainer.evaluate.needle import needle, shortest_row
from trainer.model.decoder import Decoder
from trainer.plan.shares import is_held_out
from trainer.segments.library import Library
from trainer.tokenizer.token_bytes import token_bytes
from trainer.tokenizer.tokenizer import Tokenizer

ROWS = 64
"""Held-out documents that are scored."""
SEGMENTS = 8
"""Segments of each folder that are looked through for them, the first ones."""


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
      library: The segments.
      folders: The library's folders of text sources.
      share: Of their documents that is held out.
      tokenizer: The run's.
    """

    def __init__(self, library: Library, folders: Iterable[int], share: float, tokenizer: Tokenizer) -> None:
        self.documents = held_out_documents(library, folders, share)
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
            raise TrainerError(f"the gate of stage {stage!r} needs held-out text; raise held_out, or give more data")
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


def held_out_documents(library: Library, folders: Iterable[int], held_out: float) -> Sequence[NDArray[np.integer]]:
    """The first held-out documents with targets, in the order of their segments; at most ROWS of each folder."""
    found: list[NDArray[np.integer]] = []
    for folder in sorted(set(folders)):
        segments, mine = library.folders[folder], 0
        for i in range(min(len(segments.manifest.segments), SEGMENTS)):
            starts = segments.starts(i)
            hashes = segments.columns(i, ["id_hash"])["id_hash"].to_numpy()
            scored = is_held_out(hashes, held_out) & (np.diff(starts) > 1)
            for document in np.flatnonzero(scored)[: ROWS - mine]:
                found.append(segments.read(i, "tokens", int(starts[document]), int(starts[document + 1])))
                mine += 1
    return found
