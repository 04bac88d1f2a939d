"""`gristmill explain`: what became of a page, every rule's value and margin."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.exits import Exit
from service.terminal import Terminal, plain, whole

if TYPE_CHECKING:
    from curation.explain import Explained

DESCRIPTION = """\
Says what became of a page of a finished run, and reads it again from the input to give every rule's value, threshold
and margin (negative where the rule drops it), also of the rules behind the one that dropped it.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="what became of a page, and why",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", metavar="DIR", help="the output folder of a run")
    parser.add_argument("url", metavar="URL", help="the page's URL, or its id")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from curation.explain import clusters_of, find, measure
    from curation.judged import is_sampled
    from curation.output import Output
    from curation.recipe import rebuild
    from curation.steps import gates

    console = Terminal()
    output = Output(args.output)
    manifest = output.manifest()
    recipe = rebuild(manifest)
    for row in find(output, args.url):
        _fate(console, row)
        if gates(recipe.steps) and is_sampled(recipe.sample.rate, recipe.seed, row["id"]):
            _say(console, "  of the seeded sample, which passes every gate", "dim")
        for member in clusters_of(output, row):
            role = "the one that stayed" if member["kept"] else f"a duplicate of {member['keeper_id']}"
            _say(console, f"  {member['stage']}: {role}, in a cluster of {member['size']}")
        explained = measure(row, manifest, recipe)
        console.print(_table(explained, signs=_signs(console)), crop=False)
    return Exit.OK


def _fate(console: Console, row: dict[str, Any]) -> None:
    _say(console, row["url"], "bold")
    _say(console, f"  {row['id']}, {row['path']} at {row['offset']}", "dim")
    if row["outcome"] == "kept":
        _say(console, "  kept", "green")
        return
    words = f"  dropped by {row['stage']}: {row['reason']}"
    if row["value"] is not None:
        words += f" ({row['value']:g}, threshold {row['threshold']:g})"
    if row["gate"]:
        words += ", at its gate, before its main text was looked for"
    _say(console, words, "red")


def _say(console: Console, words: str, style: str = "") -> None:
    console.print(Text(plain(words), style=style), soft_wrap=True)


def _signs(console: Console) -> dict[str, str]:
    """Of lower and upper bounds, as the output can write them."""
    unicode = console.encoding.startswith("utf")
    return {"min": "≥", "max": "≤"} if unicode else {"min": ">=", "max": "<="}


def _table(explained: "list[Explained]", signs: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("stage")
    table.add_column("rule")
    for column in ("value", "threshold", "margin"):
        table.add_column(column, justify="right")
    for entry in explained:
        if entry.fault is not None:
            fault = entry.fault
            table.add_row(
                entry.stage, Text(plain(fault.reason)), f"{fault.value:.4g}", f"{fault.threshold:.4g}", "", style="red"
            )
        elif not entry.measured:
            table.add_row(entry.stage, Text(f"{entry.characters:,} characters", style="dim"))
        for i, m in enumerate(entry.measured):
            stage = f"{entry.stage}{' (gate)' if entry.gate else ''}" if i == 0 else ""
            row = (
                stage,
                Text(plain(m.reason)),
                f"{m.value:.4g}",
                f"{signs[m.bound]} {m.threshold:.4g}",
                f"{m.margin:+.4g}",
            )
            table.add_row(*row, style="red" if m.failed else None)
    return whole(table, 0, 1, 2, 3, 4)
