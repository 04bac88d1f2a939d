"""`gristmill classifier`: trains and evaluates fastText quality models."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from service.exits import Exit
from service.terminal import Terminal

if TYPE_CHECKING:
    from classifiers.evaluate import Evaluation
    from classifiers.train import Training

EPILOG = """\
examples:
  gristmill classifier train --positives good.jsonl --negatives web.jsonl --model quality.bin
  gristmill classifier evaluate --positives good-test.jsonl --negatives web-test.jsonl --model quality.bin
  gristmill run FILE.yaml#mine --set quality.model=quality.bin --set quality.min_score=0.2 …
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="train or evaluate a quality model",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, words in (("train", "fit a model, keep a part for testing"), ("evaluate", "measure a model on texts")):
        sub = actions.add_parser(
            action, help=words, description=f"{words}; texts are JSONL or Parquet with a `text` column"
        )
        sub.add_argument("--positives", nargs="+", required=True, metavar="PATH")
        sub.add_argument("--negatives", nargs="+", required=True, metavar="PATH")
        sub.add_argument("--model", required=True, type=Path, metavar="FILE")
        if action == "train":
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument("--epochs", type=int, default=5)
            sub.add_argument("--dim", type=int, default=64)


def main(args: argparse.Namespace) -> int:
    """Runs it; prints one JSON line."""
    from classifiers.evaluate import evaluate
    from classifiers.fasttext import ModelError
    from classifiers.train import train

    result: Training | Evaluation
    if args.action == "train":
        result = train(args.positives, args.negatives, args.model, seed=args.seed, epochs=args.epochs, dim=args.dim)
    else:
        if not args.model.is_file():
            raise ModelError(f"there is no model {str(args.model)!r}; check --model, or train one")
        result = evaluate(args.model, args.positives, args.negatives)
    Terminal().print(Text(json.dumps(asdict(result))), soft_wrap=True)
    return Exit.OK
