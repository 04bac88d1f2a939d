"""A recipe's stages as a table: steps, targets, passes over each source, padding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from service.terminal import Terminal, plain, whole

if TYPE_CHECKING:
    from trainer.plan.summary import PlanSummary  # the extra `trainer`


def show(stages: "Sequence[tuple[str, PlanSummary | int]]", console: Terminal) -> None:
    """Prints it."""
    table = Table(box=None, pad_edge=False)
    for head in ("stage", "steps", "targets", "documents", "split", "padding", "passes a source"):
        table.add_column(head, justify="left" if head in ("stage", "passes a source") else "right")
    for name, told in stages:
        if isinstance(told, int):
            table.add_row(Text(plain(name)), "", f"{told:,}", "", "", "", "pairs")
            continue
        about = "" if told.exact else "~"
        passes = ", ".join(
            f"{plain(source)} {'' if part.counted else '~'}{part.passes:.3g}" for source, part in told.sources.items()
        )
        padding = f"{max(told.padding):.2%}" if told.padding else ""
        table.add_row(
            Text(plain(name)),
            f"{about}{told.steps:,}",
            f"{about}{told.targets:,}",
            f"{about}{told.documents:,}",
            f"{about}{told.split:,}",
            padding,
            Text(passes),
        )
    console.print(whole(table, 0, 6), crop=False)
    if any(not isinstance(told, int) and not told.exact for _, told in stages):
        console.print("~ is extrapolated from the stage's first window; padding is that of the window with most")
