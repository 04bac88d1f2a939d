"""What sources hold, whether a stage may ask so much of them, and what it takes of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.training import StageSpec
from trainer.errors import TrainerError
from trainer.plan.draw import Budget
from trainer.plan.ramps import goals
from trainer.plan.sources import SourceRuns

_COUNTED = 2**18
"""Documents up to which a source is counted document by document: some hundredths of a second."""
_ERRORS = 20
"""Standard errors of a share by hash of equal documents that a pass is at most away from what is expected: enough for
documents of unequal lengths."""
_ROUNDING = 0.01
"""Of a target: what sums of floats may be wrong by, of up to 10^13 targets."""


@dataclass(frozen=True, slots=True)
class Available:
    """Targets of one pass over a source."""

    targets: int
    """Counted, or expected."""
    least: int
    """No pass has fewer."""
    most: int
    """No pass has more."""

    @classmethod
    def counted(cls, targets: int) -> "Available":
        """As many as were counted."""
        return cls(targets, targets, targets)

    @property
    def exact(self) -> bool:
        """Whether they are counted."""
        return self.least == self.most


def available(stage: StageSpec, runs: Mapping[str, SourceRuns]) -> dict[str, Available]:
    """Counts a stage's sources as far as it must know them.

    Passes over what a condition leaves, and broken ones, are counted, however large: learning rates and the end depend
    on it, and a pass reads what counting does. Of a stage of so many targets it is enough to know that its epochs hold
    them: a share by hash need not be counted for that unless it wants nearly all, of other sources a part is.

    Args:
        stage: What asks.
        runs: Its sources.

    Raises:
        TrainerError: A source was counted, and has none; its condition does not fit the columns.
    """
    return {name: _available(found, _enough(stage, found)) for name, found in runs.items()}


def check_caps(stage: StageSpec, held: Mapping[str, Available]) -> None:
    """Refuses a stage that may come to repeat a source more often than it may.

    Raises:
        TrainerError: Naming the source, what is wanted, what there is, and how many tokens are sure to be had.
    """
    if stage.tokens is None:
        return
    for name, wanted in goals(stage.mix, stage.tokens).items():
        if name in held and not _fits(stage, held[name], wanted):
            cap = math.floor(held[name].least * stage.max_epochs + _ROUNDING)
            raise TrainerError(
                f"stage {stage.name!r} wants {wanted:,.0f} targets of source {name!r}, which has {held[name].least:,} "
                f"and may be gone over {stage.max_epochs:g} times: {cap:,} in all; give the stage at most "
                f"{_most_tokens(stage, held):,} tokens, the source less of the mix or more data, or raise max_epochs"
            )


def budgets(stage: StageSpec, held: Mapping[str, Available]) -> dict[str, Budget]:
    """What a stage takes of each source; of whole epochs all."""
    if stage.tokens is not None:
        wanted = goals(stage.mix, stage.tokens)
        return {name: _budget(found, wanted[name], stage.max_epochs) for name, found in held.items()}
    epochs = stage.epochs or 0
    if epochs == int(epochs):
        return {name: Budget(int(epochs)) for name in held}
    return {name: _budget(found, max(1, round(found.targets * epochs)), epochs) for name, found in held.items()}


def _budget(held: Available, wanted: float, epochs: float) -> Budget:
    turns = math.ceil(epochs)
    return Budget(turns, wanted, turns * held.least - wanted)


def _enough(stage: StageSpec, runs: SourceRuns) -> int | None:
    """Targets of a pass of which a stage must be sure; None where it must know how many there are."""
    if stage.tokens is not None:
        return max(1, math.ceil((goals(stage.mix, stage.tokens)[runs.name] - _ROUNDING) / stage.max_epochs))
    assert stage.epochs is not None
    return 1 if runs.where is None and stage.epochs == int(stage.epochs) else None


def _available(runs: SourceRuns, enough: int | None) -> Available:
    if not runs.is_filtered:
        return Available.counted(runs.targets)
    if runs.documents <= _COUNTED:
        enough = None
    elif runs.where is None and enough is not None:
        share = (runs.spec.share[1] - runs.spec.share[0]) * (1 - runs.held_out)
        slack = _ERRORS / math.sqrt(max(1.0, share * runs.documents))
        expected = int(share * runs.targets)
        least, most = int(expected * (1 - slack)), min(runs.targets, int(expected * (1 + slack)) + 1)
        if least >= enough:
            return Available(expected, least, most)
    counted, of = runs.count(enough)
    return Available(counted * runs.targets // of, counted, counted + runs.targets - of)


def _fits(stage: StageSpec, held: Available, wanted: float) -> bool:
    return wanted <= held.least * stage.max_epochs + _ROUNDING


def _most_tokens(stage: StageSpec, held: Mapping[str, Available]) -> int:
    """The most that all sources are sure to have, by halving: a stage wants no less of any by wanting more tokens."""
    assert stage.tokens is not None
    fits, too_many = 0, stage.tokens
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        wanted = goals(stage.mix, middle)
        if all(_fits(stage, found, wanted.get(name, 0.0)) for name, found in held.items()):
            fits = middle
        else:
            too_many = middle
    return fits
