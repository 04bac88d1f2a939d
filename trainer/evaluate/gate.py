"""The gate behind a stage: whether short texts are read as well as before, and whether long ones are read at all."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.training import GateSpec
from trainer.errors import TrainerError
from trainer.evaluate.log_probs import log_probs
from trainer.evaluate.needle import needle
from trainer.model.decoder import Decoder
from trainer.plan.shares import is_held_out
from trainer.segments.library import Library
from trainer.tokenizer.tokenizer import Tokenizer

ROWS = 64
"""Held-out documents that are scored."""
SEGMENTS = 8
"""Segments of each folder that are looked through for them, the first ones."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate saw."""

    stage: str
    loss_before: float | None
    loss: float | None
    """Nats a target on held-out documents cut to the run's first length."""
    needle: float | None
    """Share found at the stage's last length."""
    passed: bool
    why: str
    """In words, with the values and what they were held against."""


class Gate:
    """Evaluations between stages, on documents that no stage trains on.

    Args:
      library: The segments.
      folders: The library's folders of text sources.
      held_out: Share of their documents that is held out.
      short: The run's first sequence length.
      tokenizer: The run's.
    """

    def __init__(
        self, library: Library, folders: Iterable[int], held_out: float, short: int, tokenizer: Tokenizer
    ) -> None:
        self._documents = held_out_documents(library, folders, held_out)
        self._short = [row[: short + 1] for row in self._documents]
        self._tokenizer = tokenizer

    def short_loss(self, decoder: Decoder) -> float:
        """Nats a target at the run's first length; NaN where nothing is held out."""
        scores = log_probs(decoder, self._short)
        targets = sum(map(len, scores))
        return -sum(float(row.sum()) for row in scores) / targets if targets else math.nan

    def judge(self, decoder: Decoder, spec: GateSpec, stage: str, before: float | None, length: int) -> Measured:
        """Holds a model against a gate.

        Args:
          decoder: As the stage has left it.
          spec: What is asked.
          stage: Its name.
          before: `short_loss` before the stage.
          length: The stage's last sequence length.

        Raises:
          TrainerError: Nothing is held out to measure by.
        """
        if not self._documents:
            raise TrainerError(f"the gate of stage {stage!r} needs held-out text; raise held_out, or give more data")
        loss = found = None
        faults: list[str] = []
        if spec.recovered is not None and before is not None:
            loss = self.short_loss(decoder)
            if not loss <= spec.recovered * before:
                faults.append(f"held-out loss {loss:.4f} is above {spec.recovered:g} x {before:.4f}")
        if spec.needle is not None:
            found = needle(decoder, self._tokenizer, np.concatenate(self._documents), length)
            if found < spec.needle:
                faults.append(f"{found:.0%} of the needles are found at length {length}, {spec.needle:.0%} are asked")
        why = "; ".join(faults) or "all that is asked holds"
        return Measured(stage, before, loss, found, not faults, why)


def held_out_documents(library: Library, folders: Iterable[int], held_out: float) -> Sequence[NDArray[np.integer]]:
    """The first held-out documents of some folders, in the order of their segments; at most ROWS of each."""
    found: list[NDArray[np.integer]] = []
    for folder in sorted(set(folders)):
        segments, mine = library.folders[folder], 0
        for i in range(min(len(segments.manifest.segments), SEGMENTS)):
            starts = segments.starts(i)
            hashes = segments.columns(i, ["id_hash"])["id_hash"].to_numpy()
            for document in np.flatnonzero(is_held_out(hashes, held_out))[: ROWS - mine]:
                found.append(segments.read(i, "tokens", int(starts[document]), int(starts[document + 1])))
                mine += 1
    return found
