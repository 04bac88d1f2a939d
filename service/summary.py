"""What a finished run says of itself on the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.manifest import Manifest
from service.progress import clock
from storage.paths import join

MOST_REASONS = 12


def summary(manifest: Manifest, output: str, seconds: float, console: Console) -> None:
    """Prints pages, kept and dropped by reason, and where to look."""
    counts = manifest.counts
    share = 100 * counts.kept / counts.pages if counts.pages else 0.0
    console.print(
        f"\n[bold]{manifest.pipeline}[/bold]: {counts.pages:,} pages, [green]{counts.kept:,} kept[/green] "
        f"({share:.1f} %), {counts.dropped:,} dropped; {counts.tokens:,} tokens; {clock(seconds)}"
    )
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column, justify in (("stage", "left"), ("reason", "left"), ("pages", "right"), ("share", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    rows = [
        (n, stage, reason) for stage, reasons in manifest.counts.dropped_by.items() for reason, n in reasons.items()
    ]
    shown = sorted(rows, key=lambda row: -row[0])[:MOST_REASONS]
    for n, stage, reason in rows:
        if (n, stage, reason) in shown:
            table.add_row(stage, reason, f"{n:,}", f"{100 * n / counts.pages:.1f} %")
    if len(rows) > len(shown):
        rest = sum(n for n, _, _ in rows) - sum(n for n, _, _ in shown)
        table.add_row(
            Text(f"{len(rows) - len(shown)} more reasons", style="dim"),
            "",
            f"{rest:,}",
            f"{100 * rest / counts.pages:.1f} %",
        )
    console.print(table)
    for words in manifest.deviations:
        console.print(Text(f"deviation: {words}", style="yellow"))
    for source in manifest.inputs:
        if source.error:
            console.print(Text(f"not read: {source.error}", style="red"))
    console.print(
        f"report  {join(output, 'report.html')}\nshards  {join(output, 'shards')}\nledger  {join(output, 'ledger')}"
    )
