"""`gristmill run`: a pipeline over inputs into an output folder."""

import argparse
import time
from typing import Any

import curation
from schemas.tasks import COMMON_CRAWL
from service.exits import Exit
from service.numbers import natural, positive, share
from service.progress import Face
from service.terminal import Terminal

DESCRIPTION = """\
Runs a pipeline. PIPELINE is a name in pipelines.yaml (fineweb, fineweb2, fineweb2-ko, multilingual, minhash, sample) or
FILE.yaml#NAME. The same command on the same output goes on where it was stopped.
"""

EPILOG = """\
examples:
  gristmill run fineweb --input 'crawl/*.warc.gz' --output out
  gristmill run fineweb --input warc.paths.gz --limit 10000 --output out
  gristmill run fineweb2-ko --input 'ko/*.warc.gz' --output out-ko
  gristmill run fineweb --input 'crawl/*.warc.gz' --output out --set gopher_quality.min_words=40 --set c4.enabled=false
  gristmill run fineweb2 --set language=kor_Hang --set language.model=lid176 --output out-ko \\
      --input 'cc-index/*.parquet' --where "content_languages = 'kor'"
  gristmill run minhash --input 'texts/*.jsonl.zst' --output deduplicated
  gristmill run fineweb --input 's3://bucket/crawl/*.warc.gz' --output s3://bucket/out \\
      -- --runner=PortableRunner --job_endpoint=localhost:8099 --environment_type=LOOPBACK      (docs/engines.md)
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="run a pipeline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("pipeline", metavar="PIPELINE")
    add_inputs(parser)
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="a folder or s3://…; holds shards/, ledger/, report.html"
    )
    parser.add_argument(
        "--work", default="", metavar="PATH", help="where phases keep their files, may be shared (default DIR/work)"
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes on this machine (default: one a core)")
    parser.add_argument(
        "--retries", type=natural, default=2, metavar="N", help="how often failed tasks are tried again (default 2)"
    )
    parser.add_argument(
        "--max-failed-files", type=natural, default=0, metavar="N", help="unreadable input files to forgive (default 0)"
    )
    parser.add_argument(
        "--max-unreadable", type=share, default=0.5, metavar="SHARE", help="of pages lost in reading (default 0.5)"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="delete this output first and start anew; results in a shared --work are kept, and taken again",
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="delete what the phases left in work/ after success, also of a run that is done already",
    )
    add_settings(parser)


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is read; `plan` has them too."""
    parser.add_argument(
        "--input",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="files, 'globs', lists (warc.paths.gz), URLs; WARC, WET, ARC, JSONL, Parquet, Common Crawl's index",
    )
    parser.add_argument(
        "--prefix", default=COMMON_CRAWL, metavar="URL", help="laid before the lines of a list (default %(default)s)"
    )
    parser.add_argument("--where", default="", metavar="SQL", help="a DuckDB condition on the rows of an index")
    parser.add_argument(
        "--dump", default="", metavar="NAME", help="the dump's name (default: from the path, CC-MAIN-2026-47)"
    )
    parser.add_argument("--limit", type=positive, default=0, metavar="N", help="read the first N pages only")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """`--set`."""
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="STAGE.KEY=VALUE",
        help="a stage's parameter, STAGE.enabled, or language=…, seed=…, publish.…, sample.…; may stand often",
    )


def inputs(args: argparse.Namespace) -> "curation.Inputs":
    """What the arguments say is read."""
    return curation.Inputs(
        patterns=tuple(args.input), prefix=args.prefix, dump=args.dump, where=args.where, limit=args.limit
    )


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from service.summary import summary

    options = curation.Options(
        work=args.work,
        workers=args.workers,
        retries=args.retries,
        max_failed_files=args.max_failed_files,
        max_unreadable=args.max_unreadable,
        fresh=args.fresh,
        clean=args.clean,
        beam_args=args.beam_args,
    )
    start = time.monotonic()
    with Face() as face:
        manifest = curation.run(
            args.pipeline, inputs(args), args.output, settings=args.settings, options=options, progress=face
        )
    summary(manifest, args.output, time.monotonic() - start, Terminal())
    return Exit.OK
