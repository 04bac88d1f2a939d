"""`gristmill sample`: writes the built-in crawl."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from service.exits import Exit
from service.numbers import positive
from service.terminal import Terminal, plain

if TYPE_CHECKING:
    from service.sample import Truth

DESCRIPTION = """\
Writes a small crawl in Common Crawl's shape: some 2,000 pages of invented sites in several languages, with duplicates,
spam, personal data, odd encodings and damaged records planted. DIR/truth.jsonl says what was planted where.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(name, help="write the built-in crawl", description=DESCRIPTION)
    parser.add_argument("output", metavar="DIR", type=Path)
    parser.add_argument("--pages", type=positive, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")


def make(folder: Path, pages: int, seed: int = 0) -> "Truth":
    """Writes the crawl.

    Raises:
      InputsError: too few pages to hold one of each kind.
      WrongFolderError: there is a file in the folder's place.
      StorageError: it can't be written.
    """
    from curation.inputs import InputsError
    from curation.output import WrongFolderError
    from service.sample import write_sample
    from storage.stores import told

    with told("write", str(folder)):
        try:
            return write_sample(folder, pages=pages, seed=seed)
        except ValueError as error:
            raise InputsError(f"--pages {pages}: {error}") from error
        except (NotADirectoryError, FileExistsError) as error:
            raise WrongFolderError(f"{str(folder)!r} can't be a folder: a part of it is a file") from error


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    truth = make(args.output, args.pages, args.seed)
    console = Terminal()
    folder = plain(str(args.output))
    console.print(Text(f"{len(truth.pages):,} pages in {folder}; run them with"), soft_wrap=True)
    command = f"  gristmill run fineweb --input '{folder}/crawl-data/**/*.warc.gz' --output out"
    console.print(Text(command), soft_wrap=True)
    return Exit.OK
