"""`gristmill ablate`: whether curation helps, by training on both data sets."""

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from service.exits import Exit
from service.extras import needs_torch
from service.terminal import Terminal, plain
from service.watch import Watch

DESCRIPTION = """\
Trains the same small model on two data sets, with one tokenizer from their union, the same number of targets and, seed
by seed, the same initial weights; then scores both on held-out text, near duplicates of which are looked for in both
data sets and dropped. A third arm trains on the first data set again in another order: its interval must cover 0.
Prints bits per byte of each arm and paired 95 % intervals; writes ablation.json. "No effect at this scale" is a result.
"""

EPILOG = """\
examples:
  gristmill run minhash --input raw.jsonl --output raw                   both arms are folders that `run` made
  gristmill ablate --curated out --raw raw --held-out wikipedia.jsonl --output ablation
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="compare two data sets by training on them",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--curated", required=True, metavar="DIR")
    parser.add_argument("--raw", required=True, metavar="DIR")
    parser.add_argument(
        "--held-out", required=True, metavar="FILE", help="JSONL from sources that neither arm filtered"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--recipe", default="gpt2-nano", metavar="NAME", help="default %(default)s")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    seeds = "at least 5 (default), from the recipe's seed on; given again with more, only the new ones are trained"
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help=seeds)
    parser.add_argument("--segments", default="", metavar="DIR", help="keeps tokenised data (default: a cache)")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from trainer.recipe import load

    recipe, spec = load(args.recipe, args.settings)
    needs_torch()
    from service.ablation import ablate  # torch is an extra
    from trainer.evaluate.read import texts

    arms = {"curated": args.curated, "raw": args.raw}
    with Watch() as watch:
        found = ablate(
            recipe,
            spec,
            arms,
            texts(args.held_out),
            args.output,
            watch,
            seeds=args.seeds,
            segments=args.segments,
        )
    console = Terminal()
    table = Table(box=None, pad_edge=False)
    for head in ("arm", "bits per byte", "epochs"):
        table.add_column(head, justify="left" if head == "arm" else "right")
    for arm, losses in found.losses.items():
        mean = sum(losses) / len(losses)
        table.add_row(arm, f"{mean:.4f}", f"{found.epochs.get(arm, found.epochs['curated']):.2f}")
    console.print(table)
    for words, interval in (("curated - raw", found.difference), ("null - curated", found.null)):
        console.print(f"{words:<15} {interval.mean:+.4f}  95 % [{interval.low:+.4f}, {interval.high:+.4f}]")
    held = found.held_out
    console.print(f"held out: {len(held.texts):,} texts of {held.given:,}, {held.dropped:,} near duplicates dropped")
    console.print(Text(plain(found.verdict), style="bold"), soft_wrap=True)
    return Exit.OK
