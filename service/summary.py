"""What a finished run says of itself on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.manifest import InputEntry, Manifest
from service.progress import clock
from service.terminal import plain, whole
from storage.paths import join

MOST_REASONS = 12
MOST_FILES = 3
CUT = "truncated_record"


def summary(manifest: Manifest, output: str, seconds: float, console: Console) -> None:
    """Prints pages, kept and dropped by reason, and where to look."""
    counts = manifest.counts
    share = 100 * counts.kept / counts.pages if counts.pages else 0.0
    head = Text.assemble(
        (f"\n{plain(manifest.pipeline)}", "bold"),
        f": {counts.pages:,} pages, ",
        (f"{counts.kept:,} kept", "green"),
        f" ({share:.1f} %), {counts.dropped:,} dropped; {counts.tokens:,} tokens; {clock(seconds)}",
    )
    console.print(head, soft_wrap=True)
    if counts.dropped:
        console.print(_losses(manifest), crop=False)
    for words in manifest.deviations:
        console.print(Text(f"deviation: {plain(words)}", style="yellow"))
    for source in manifest.inputs:
        if source.error:
            console.print(Text(f"not read: {plain(source.error)}", style="red"), soft_wrap=True)
    _damages([source for source in manifest.inputs if source.faults and not source.error], console)
    for what, name in (("report", "report.html"), ("shards", "shards"), ("ledger", "ledger")):
        console.print(Text(f"{what}  {plain(join(output, name))}"), soft_wrap=True)


def _damages(sources: Sequence[InputEntry], console: Console) -> None:
    """Files that hold damaged records, those that are cut off first: what followed there is in no count."""
    for source in sorted(sources, key=lambda source: (CUT not in source.faults, -sum(source.faults.values())))[
        :MOST_FILES
    ]:
        found = ", ".join(f"{n:,} {reason}" for reason, n in source.faults.items())
        advice = "it ends early, so fetch it again" if CUT in source.faults else "the ledger says where"
        words = f"damaged: {plain(source.path)}: {plain(found)} of {source.pages:,} pages; {advice}"
        console.print(Text(words, style="red"), soft_wrap=True)
    if len(sources) > MOST_FILES:
        console.print(Text(f"damaged: {len(sources) - MOST_FILES:,} more files; see the report", style="red"))


def _losses(manifest: Manifest) -> Table:
    """The largest, in the order of the stages."""
    counts = manifest.counts
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column, justify in (("stage", "left"), ("reason", "left"), ("pages", "right"), ("share", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    rows = [(n, stage, reason) for stage, reasons in counts.dropped_by.items() for reason, n in reasons.items()]
    shown = sorted(rows, key=lambda row: -row[0])[:MOST_REASONS]
    for n, stage, reason in rows:
        if (n, stage, reason) in shown:
            table.add_row(Text(plain(stage)), Text(plain(reason)), f"{n:,}", f"{100 * n / counts.pages:.1f} %")
    if len(rows) > len(shown):
        rest = sum(n for n, _, _ in rows) - sum(n for n, _, _ in shown)
        table.add_row(
            Text(f"{len(rows) - len(shown)} more reasons", style="dim"),
            "",
            f"{rest:,}",
            f"{100 * rest / counts.pages:.1f} %",
        )
    return whole(table, 0, 1, 2, 3)
