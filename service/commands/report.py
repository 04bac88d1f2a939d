"""`gristmill report`: draws the report of a finished run again."""

import argparse
from typing import Any

from rich.text import Text

from service.exits import Exit
from service.terminal import Terminal, plain


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name, help="draw a run's report again", description="Draws DIR/report.html from the manifest and the tally."
    )
    parser.add_argument("output", metavar="DIR", help="the output folder of a run")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="of the report's own words (default en)")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from curation.output import REPORT, TALLY, Output, read_json
    from curation.report import render
    from curation.tally import Tally
    from storage.commit import replace_atomic

    output = Output(args.output)
    manifest = output.manifest()
    tally = Tally.from_json(read_json(output.at(TALLY)))
    replace_atomic(output.at(REPORT), render(manifest, tally, language=args.language).encode())
    Terminal().print(Text(plain(output.at(REPORT))), soft_wrap=True)
    return Exit.OK
