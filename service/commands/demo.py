"""`gristmill demo`: the whole way on the built-in crawl."""

import argparse
import time
from pathlib import Path
from typing import Any

from rich.text import Text

import curation
from service.commands.sample import make
from service.exits import Exit
from service.numbers import positive
from service.progress import Face
from service.terminal import Terminal, plain

DESCRIPTION = """\
Makes the built-in crawl, trains a small quality classifier on labelled texts beside it, runs the pipeline `sample`
(every stage there is) and draws the report. Give the same command again to go on after a stop.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(name, help="the whole way on a built-in crawl", description=DESCRIPTION)
    parser.add_argument("output", metavar="DIR", nargs="?", type=Path, default=Path("demo"), help="default ./demo")
    parser.add_argument("--pages", type=positive, default=2000, metavar="N")
    parser.add_argument("--workers", type=positive, metavar="N")
    parser.add_argument("--fresh", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from classifiers.train import train
    from curation.recipe import load, resolve
    from service.sample import write_quality_sets
    from service.summary import summary

    console = Terminal()
    start = time.monotonic()
    crawl, model = args.output / "crawl", args.output / "quality.bin"
    settings = [f"quality.model={model}"]
    resolve(*load("sample"), settings)  # a library that is missing is told before any work
    if args.fresh or not (crawl / "truth.jsonl").exists():
        console.print(Text(f"making a crawl of {args.pages:,} pages in {plain(str(crawl))}"), soft_wrap=True)
        make(crawl, args.pages)
    else:
        console.print(
            Text(f"the crawl in {plain(str(crawl))} is there already (--fresh makes all anew)"), soft_wrap=True
        )
    if args.fresh or not model.exists():
        console.print("training a quality classifier on labelled texts")
        positives, negatives = write_quality_sets(args.output / "labelled")
        trained = train([str(positives)], [str(negatives)], model)
        console.print(f"  held out: accuracy {trained.evaluation.accuracy:.3f}, AUC {trained.evaluation.auc:.3f}")
    with Face() as face:
        manifest = curation.run(
            "sample",
            curation.Inputs(patterns=(f"{crawl}/crawl-data/**/*.warc.gz",)),
            args.output / "out",
            settings=settings,
            options=curation.Options(workers=args.workers, fresh=args.fresh, beam_args=args.beam_args),
            progress=face,
        )
    summary(manifest, str(args.output / "out"), time.monotonic() - start, console)
    report = (args.output / "out" / "report.html").resolve()
    console.print(Text(f"open    file://{plain(str(report))}"), soft_wrap=True)
    return Exit.OK
