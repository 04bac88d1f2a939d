"""A source's documents as runs: contiguous, a fixed number a segment, read one at a time in an order by chance."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.training import SourceSpec
from trainer.errors import IntegrityError, TrainerError
from trainer.plan.condition import Condition
from trainer.plan.shares import in_share, is_held_out
from trainer.plan.shuffle import order
from trainer.segments.library import Library
from trainer.segments.read import Segments

RUN_TOKENS = 2**20
"""About so many tokens a run. Shorter ones mix a window's rows better, longer ones spare reads: a run of 2 to 4 MB
costs one block of 256 KiB of offsets, and a window of 2^25 positions takes 32 runs from all over the source."""
_LEAST_RUNS = 256
"""Of a small source, whose runs are shorter: what is drawn of it, a tenth of a pass say, is from all over it too."""

_CHOSEN_BYTES = 64 * 2**20
"""Of segments whose choice of documents is kept, a bit or, where masks hide targets, 5 bytes a document: the runs of a
segment, some 64, come one by one, and each would read the columns of all."""


@dataclass(frozen=True, slots=True)
class Run:
    """The documents of one run that a stage may draw, in the segment's order; arrays of int64."""

    segment: int
    """Library number."""
    documents: int
    """Of the run, with those that may not be drawn."""
    index: NDArray[np.int64]
    """[n] Which document of the run each is: the condition and the shares leave gaps."""
    start: NDArray[np.int64]
    """[n] Its first token in the segment."""
    tokens: NDArray[np.int64]
    """[n]"""
    targets: NDArray[np.int64]
    """[n] At least 1."""
    targetless: NDArray[np.int64]
    """[k] Which documents of the run are the source's but have no target."""


class SourceRuns:
    """One source's runs. The order of a pass costs 16 bytes a run, whatever the runs hold.

    Args:
        name: The source's.
        spec: What it takes of its folder.
        library: All segments.
        folder: Which of the library's folders is its own.
        seed: The run's seed and the stage's name, which decide the order.
        held_out: Share of text documents that is never drawn.

    Raises:
        TrainerError: The source has no documents, or its `where` is no condition.
    """

    def __init__(
        self, name: str, spec: SourceSpec, library: Library, folder: int, seed: tuple[int, str], held_out: float
    ) -> None:
        self.name, self.spec = name, spec
        self.held_out = held_out if spec.holds_out else 0.0
        self.where = Condition(spec.where, name) if spec.where else None
        self._hashed = self.held_out > 0 or spec.share != (0.0, 1.0)
        self._library, self._folder, self._seed = library, library.folders[folder], seed
        self._first = library.number(folder, 0)
        segments = self._folder.manifest.segments
        self._documents = np.array([segment.documents for segment in segments], np.int64)
        self.documents = int(self._documents.sum())
        self.tokens = sum(segment.tokens for segment in segments)
        self.targets = sum(segment.targets for segment in segments)
        if not self.targets:
            raise TrainerError(f"source {name!r} has no targets in {self._folder.manifest.data!r}; give it data")
        run_tokens = min(RUN_TOKENS, -(-self.tokens // _LEAST_RUNS))
        runs = [-(-segment.tokens // run_tokens) for segment in segments]
        self._runs = np.minimum(np.array(runs, np.int64), self._documents)
        self._ends = np.cumsum(self._runs)
        self._order: tuple[int, NDArray[np.int64]] = (-1, self._runs[:0])
        self._read: tuple[int, Run | None] = (-1, None)
        a_document = 5 if any(library.has_mask(self._first + i) for i in range(len(segments))) else 1 / 8
        largest = int(self._documents.max()) * a_document
        self._chosen = lru_cache(max(1, int(_CHOSEN_BYTES / largest)))(self._choose)

    def __len__(self) -> int:
        """Runs of a pass."""
        return int(self._ends[-1])

    @property
    def is_filtered(self) -> bool:
        """Whether some documents of its segments may not be its own."""
        return self.where is not None or self._hashed

    @property
    def positions_a_target(self) -> float:
        """Input positions that a target costs on average: 1, more where a mask hides some."""
        return max(1.0, (self.tokens - self.documents) / self.targets)

    def count(self, enough: int | None = None) -> tuple[int, int]:
        """Counts targets of one pass document by document, in segments from all over the source.

        Args:
            enough: Stops once there are so many; None: counts all.

        Returns:
            The targets counted, and all those of the segments that were read, the source's or not.

        Raises:
            TrainerError: There are none, or the condition does not fit the columns.
        """
        counted = read = 0
        segments = self._folder.manifest.segments
        for i in order(len(segments), *self._seed, self.name, "count").tolist():
            if enough is not None and counted >= enough:
                break
            read += segments[i].targets
            targets, mine = self._choice(i)
            if targets is None and mine is None:
                counted += segments[i].targets
                continue
            each = _targets(self._starts(i, 0, segments[i].documents)) if targets is None else targets
            counted += int(each[slice(None) if mine is None else mine].sum(dtype=np.int64))
        if not counted:
            raise self.nothing()
        return counted, read

    def nothing(self) -> TrainerError:
        """The error of a source that a whole pass gives nothing of."""
        return TrainerError(
            f"source {self.name!r} gives nothing: none of its {self.documents:,} documents in "
            f"{self._folder.manifest.data!r} has targets and is left by where {self.spec.where!r}, share "
            f"{self.spec.share!r}, held_out {self.held_out!r}; change these, or take it out of the mix"
        )

    def run(self, turn: int, place: int) -> Run:
        """The run at a place of a pass's order.

        Raises:
            TrainerError: The condition does not fit the columns.
            IntegrityError: A segment is damaged.
        """
        if self._order[0] != turn:
            self._order = turn, order(len(self), *self._seed, self.name, turn)
        number = int(self._order[1][place])
        if self._read[0] != number or self._read[1] is None:  # a window begins where the last one left the run
            self._read = number, self._documents_of(number)
        assert self._read[1] is not None
        return self._read[1]

    def _documents_of(self, number: int) -> Run:
        i = int(np.searchsorted(self._ends, number, side="right"))
        part = number - int(self._ends[i] - self._runs[i])
        first = int(self._documents[i]) * part // int(self._runs[i])
        stop = int(self._documents[i]) * (part + 1) // int(self._runs[i])
        starts = self._starts(i, first, stop)
        tokens = np.diff(starts)
        targets, mine = self._choice(i)
        of_run = _targets(starts) if targets is None else targets[first:stop].astype(np.int64)
        is_mine = np.ones(stop - first, np.bool_) if mine is None else mine[first:stop]
        index = np.flatnonzero(is_mine & (of_run > 0))
        targetless = np.flatnonzero(is_mine & (of_run <= 0))
        return Run(self._first + i, stop - first, index, starts[index], tokens[index], of_run[index], targetless)

    def _starts(self, i: int, first: int, stop: int) -> NDArray[np.int64]:
        """[stop - first + 1] Where documents of a segment begin, and where the last of them ends."""
        return np.asarray(self._library.read(self._first + i, "starts", first, stop + 1), np.int64)

    def _choice(self, i: int) -> tuple[NDArray[np.int32] | None, NDArray[np.bool_] | None]:
        """Targets of a segment's documents, None where offsets tell; and which are the source's, None where all are."""
        targets, bits = self._chosen(i)
        documents = int(self._documents[i])
        return targets, None if bits is None else np.unpackbits(bits, count=documents).view(np.bool_)

    def _choose(self, i: int) -> tuple[NDArray[np.int32] | None, NDArray[np.uint8] | None]:
        """As `_choice`, a bit a document."""
        has_mask = self._library.has_mask(self._first + i)
        if not (self.is_filtered or has_mask):
            return None, None
        wanted = {"id_hash"} if self.is_filtered else set()
        wanted |= {"targets"} if has_mask else set()
        wanted.update(self.where.columns if self.where else ())
        columns = read_columns(self.name, self.spec, self._folder, i, wanted)
        targets = columns["targets"].to_numpy() if has_mask else None
        if not self.is_filtered:
            return targets, None
        id_hash = columns["id_hash"].to_numpy()
        mine = in_share(id_hash, self.spec.share) & ~is_held_out(id_hash, self.held_out)
        return targets, np.packbits(mine & self.where.holds(columns) if self.where else mine)


def read_columns(name: str, spec: SourceSpec, folder: Segments, i: int, columns: Collection[str]) -> pa.Table:
    """A row a document of a segment of a source's folder.

    Raises:
        TrainerError: There is no such column; it names the source.
        IntegrityError: The segment is damaged.
    """
    try:
        return folder.columns(i, sorted(columns))
    except IntegrityError:
        raise
    except TrainerError as error:
        raise TrainerError(f"source {name!r}, where {spec.where!r}: {error}") from error


def _targets(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of documents of which every token but the first may be one."""
    return np.asarray(np.maximum(np.diff(starts) - 1, 0), np.int64)
