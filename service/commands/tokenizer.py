"""`gristmill tokenizer`: trains a byte-level BPE on curated text, and says what one costs a language."""

import argparse
from pathlib import Path
from typing import Any

from rich.text import Text

from service.exits import Exit
from service.terminal import Terminal, plain, plain_json

EPILOG = """\
examples:
  gristmill tokenizer train --data out --vocab-size 50k --output tokenizer      writes tokenizer/tokenizer.json
  gristmill tokenizer report tokenizer/tokenizer.json --data out                bytes a token, by language
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="train a tokenizer, or report on one",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    train = actions.add_parser("train", help="train a byte-level BPE", description="Trains a byte-level BPE.")
    train.add_argument(
        "--vocab-size", type=vocab_size, default=50_304, metavar="N", help="ids, special ones included (default 50304)"
    )
    train.add_argument("--output", required=True, type=Path, metavar="DIR")
    report = actions.add_parser("report", help="bytes a token, by language", description="Bytes a token by language.")
    report.add_argument("tokenizer", type=Path, metavar="FILE", help="a tokenizer.json, or a folder with one")
    report.add_argument("--json", action="store_true", help="print JSON")
    for action in (train, report):
        action.add_argument(
            "--texts", type=amount, default=100_000, metavar="N", help="documents that are sampled (default 100k)"
        )
        action.add_argument("--seed", type=int, default=0, help="of the sample")
        action.add_argument(
            "--data", action="append", required=True, metavar="DIR", help="a curated folder; may stand often"
        )


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from schemas.training import TokenizerSpec
    from trainer.corpus import sample_rows
    from trainer.tokenizer import bpe
    from trainer.tokenizer.report import measure
    from trainer.tokenizer.tokenizer import Tokenizer

    console = Terminal()
    share = -(-args.texts // len(args.data))
    rows = (row for folder in args.data for row in sample_rows(folder, share, args.seed))
    if args.action == "report":
        report = measure(rows, Tokenizer.load(args.tokenizer))
        for line in [plain_json(report.json())] if args.json else map(plain, report.table().splitlines()):
            console.print(Text(line), soft_wrap=True)
        return Exit.OK
    spec = TokenizerSpec(vocab_size=args.vocab_size, texts=args.texts)
    tokenizer = Tokenizer.from_json(bpe.train((text for _, text in rows), spec))
    tokenizer.save(args.output)
    line = f"{args.output}/tokenizer.json  {tokenizer.largest_id + 1:,} ids, sha256 {tokenizer.sha256}"
    console.print(Text(f"wrote   {plain(line)}"), soft_wrap=True)
    return Exit.OK


def amount(text: str) -> int:
    """A number such as 100000 or 100k."""
    from pydantic import TypeAdapter, ValidationError

    from schemas.training import Amount

    try:
        return TypeAdapter(Amount).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount; give a number such as 100000 or 100k") from error


def vocab_size(text: str) -> int:
    """As many ids as a tokenizer of ours may have."""
    from pydantic import ValidationError

    from schemas.training import TokenizerSpec

    wanted = amount(text)
    try:
        return TokenizerSpec(vocab_size=wanted).vocab_size
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text} ids can't be: {error.errors()[0]['msg']}") from error
