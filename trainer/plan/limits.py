"""What a source holds, and whether a stage may ask so much of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.training import StageSpec
from trainer.errors import TrainerError
from trainer.plan.ramps import goals
from trainer.plan.sources import SourceRuns

_COUNTED = 2**18
"""Documents up to which a source is counted document by document: some hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Available:
    """Targets of one pass over a source."""

    targets: int
    most: int
    """No pass has more: `targets` itself where they are counted."""

    @property
    def exact(self) -> bool:
        """Whether they are counted."""
        return self.targets == self.most


def available(runs: SourceRuns, *, passes: bool) -> Available:
    """Counts a source, or estimates it by its shares where counting would cost more than a window may.

    Args:
        runs: The source's.
        passes: Whether the stage goes over its sources as a whole. Then its learning rate and mix depend on how much a
            condition leaves, and its pass reads what counting does: it is counted, however large.

    Raises:
        TrainerError: It was counted, and has none; or its condition does not fit the columns.
    """
    if not runs.is_filtered:
        return Available(runs.targets, runs.targets)
    if runs.documents <= _COUNTED or (passes and runs.where is not None):
        counted = runs.count()
        return Available(counted, counted)
    share = (runs.spec.share[1] - runs.spec.share[0]) * (1 - runs.held_out)
    # ten standard errors of a share by hash: wide enough for documents of unequal lengths
    slack = 1 + 10 / math.sqrt(max(1.0, share * runs.documents))
    expected = max(1, int(share * runs.targets))
    return Available(expected, min(runs.targets, int(expected * slack) + 1))


def check_caps(stage: StageSpec, held: Mapping[str, Available]) -> None:
    """Refuses a stage that is sure to repeat a source more often than it may.

    Raises:
        TrainerError: Naming the source, what is wanted and what there is.
    """
    if stage.tokens is None:
        return
    for name, wanted in goals(stage.mix, stage.tokens).items():
        if name in held and wanted > held[name].most * stage.max_passes + 1:
            raise too_little(stage, name, held[name].most, held[name].exact)


def too_little(stage: StageSpec, name: str, targets: int, exact: bool) -> TrainerError:
    """The error of a source that has `targets` a pass, fewer than its stage wants with all repetitions allowed."""
    wanted = goals(stage.mix, stage.tokens or 0)[name]
    return TrainerError(
        f"stage {stage.name!r} wants {wanted:,.0f} targets of source {name!r}, which has {'' if exact else 'at most '}"
        f"{targets:,} and may be passed over {stage.max_passes:g} times: {targets * stage.max_passes:,.0f} in all; "
        "give the stage fewer tokens, the source less of the mix or more data, or raise max_passes"
    )
