"""What has become of a stage's data: the counts of all its windows, added up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainer.plan.window import WindowCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccount:
    """One source's part of a stage."""

    documents: int
    """Drawn, each time anew."""
    targets: int
    epochs: float
    """Targets drawn over those of one pass, which are expected where it was not needed to count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A stage as it was trained; fields as of `WindowCounts`."""

    documents: int
    split: int
    targetless: int
    positions: int
    padding: int
    targets: int
    dropped: int
    sources: Mapping[str, SourceAccount]


def account(windows: Iterable[WindowCounts], available: Mapping[str, int]) -> Account:
    """Adds up a stage.

    Args:
      windows: Counts of all its windows.
      available: Source -> targets of one pass.
    """
    found = list(windows)

    def of(name: str) -> SourceAccount:
        parts = [each.sources[name] for each in found if name in each.sources]
        targets = sum(part.targets for part in parts)
        epochs = targets / max(available[name], 1)
        return SourceAccount(documents=sum(part.documents for part in parts), targets=targets, epochs=epochs)

    return Account(
        documents=sum(each.documents for each in found),
        split=sum(each.split for each in found),
        targetless=sum(each.targetless for each in found),
        positions=sum(each.positions for each in found),
        padding=sum(each.padding for each in found),
        targets=sum(each.targets for each in found),
        dropped=sum(each.dropped for each in found),
        sources={name: of(name) for name in available},
    )
