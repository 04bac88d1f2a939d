"""`gristmill plan`: what would run, and a forecast of time, memory, disk and cost from a sample of the input."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from service.commands.run import add_inputs, add_settings, inputs
from service.exits import Exit
from service.numbers import number, positive
from service.progress import clock
from service.terminal import Terminal, plain, whole

if TYPE_CHECKING:
    from curation.forecast import Forecast
    from curation.recipe import Recipe

DESCRIPTION = """\
Says what `run` would do: the resolved stages, the tasks, and what it would cost, measured on a sample of the input.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(name, help="what a run would do and cost", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("pipeline", metavar="PIPELINE")
    add_inputs(parser)
    add_settings(parser)
    parser.add_argument("--workers", type=positive, metavar="N", help="forecast for so many (default: one a core)")
    parser.add_argument(
        "--sample-pages", type=positive, default=300, metavar="N", help="measured for the forecast (default 300)"
    )
    parser.add_argument("--price", type=number, default=0.04, metavar="USD", help="of a core-hour (default 0.04)")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from curation import inputs as inputs_module
    from curation.driver import resolve_files
    from curation.engine import default_workers
    from curation.forecast import forecast
    from curation.plan import limit_pages, plan
    from curation.recipe import load, resolve

    console = Terminal()
    recipe = resolve(*load(args.pipeline), args.settings)
    files = resolve_files(recipe)
    read = inputs(args)
    given = inputs_module.resolve(read.patterns, prefix=read.prefix, dump=read.dump, where=read.where)
    tasks = plan(given, "plan")
    if read.limit:
        tasks = limit_pages(tasks, read.limit)
    console.print(Text.assemble((plain(recipe.name), "bold"), f": {plain(recipe.description)}"))
    console.print(_stages(recipe), crop=False)
    for words in recipe.deviations:
        console.print(Text(f"deviation: {plain(words)}", style="yellow"))
    size = sum(source.size for source in given.sources)
    console.print(f"\n{len(given.sources):,} files, {amount(size)}, {len(tasks):,} tasks")
    found = forecast(recipe, files, tasks, args.sample_pages)
    console.print(_forecast(found, args.workers or default_workers(), args.price))
    return Exit.OK


def _stages(recipe: "Recipe") -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("stage")
    table.add_column("parameters", overflow="fold", min_width=24)
    for entry in recipe.entries:
        params = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in entry.params.items())
        table.add_row(entry.name if entry.enabled else f"({entry.name}: off)", Text(plain(params), style="dim"))
    return whole(table, 0)


def _forecast(found: "Forecast", workers: int, price: float) -> Table:
    table = Table(
        box=None,
        padding=(0, 2),
        show_header=False,
        title=f"forecast from {found.pages:,} sampled pages",
        title_justify="left",
    )
    kept = found.kept / found.pages if found.pages else 0.0
    rows = [
        ("pages", f"about {found.total_pages:,}, {100 * kept:.1f} % kept before deduplication"),
        ("time", f"{clock(found.wall_seconds(workers))} with {workers} workers; {found.core_hours:,.2f} core-hours"),
        ("memory", f"{amount(found.memory_bytes)} a worker"),
        (
            "disk",
            f"{amount(found.output_bytes)} output, {amount(found.work_bytes)} work (--clean deletes it at the end)",
        ),
        ("cost", f"${found.core_hours * price:,.2f} at ${price:g} a core-hour"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def amount(size: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
