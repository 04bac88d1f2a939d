"""A recipe's stages as a table: steps, targets, padding; and how often each source is passed over."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from service.terminal import Terminal, plain, whole
from trainer.plan.summary import PlanSummary

_HEADS = ("stage", "steps", "targets", "documents", "split", "dropped", "padding")


def show(stages: Sequence[tuple[str, PlanSummary]], console: Terminal) -> None:
    """Prints it."""
    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, justify="left" if head == "stage" else "right")
    for name, told in stages:
        table.add_row(Text(plain(name)), *_cells(told))
    console.print(whole(table, *range(len(_HEADS))), crop=False)
    console.print("\nepochs of each source:")
    for name, told in stages:
        console.print(Text(f"  {plain(name)}: {_epochs(told)}"), soft_wrap=True)
    for name, told in stages:
        if told.targetless_steps:
            about = "" if told.exact else "~"
            words = f"{about}{told.targetless_steps:,} of its steps hold no target (prompts alone) and teach nothing"
            console.print(Text(f"{plain(name)}: {words}; raise seq_len or batch"), soft_wrap=True)
    if any(not told.exact for _, told in stages):
        console.print("~ is extrapolated from the stage's first window; padding is that of the window with most")


def _cells(told: PlanSummary) -> tuple[str, ...]:
    about = "" if told.exact else "~"
    counts = (told.steps, told.targets, told.documents, told.split)
    padding = f"{max(told.padding):.2%}" if told.padding else ""
    return (*(f"{about}{count:,}" for count in counts), f"{told.dropped:,}", padding)


def _epochs(told: PlanSummary) -> str:
    return ", ".join(
        f"{plain(source)} {'' if part.counted else '~'}{part.epochs:.3g}" for source, part in told.sources.items()
    )
