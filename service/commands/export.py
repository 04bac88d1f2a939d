"""`gristmill export`: a trained model in a form that others read."""

import argparse
from pathlib import Path
from typing import Any

from rich.text import Text

from service.exits import Exit
from service.extras import needs_torch
from service.terminal import Terminal, plain
from service.weights import add_weights, opened

EPILOG = """\
examples:
  gristmill export model --format hf --output model-hf
  python -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('model-hf')"
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="write a trained model for Hugging Face's transformers",
        description="Writes model (safetensors), configuration and tokenizer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="a run's output, or one of its checkpoints")
    parser.add_argument("--format", default="hf", choices=["hf"])
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    add_weights(parser)


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    needs_torch()
    from trainer.model import hf  # torch is an extra

    trained = opened(args)
    hf.export(trained.decoder, trained.tokenizer, args.output)
    Terminal().print(Text(f"wrote   {plain(str(args.output))}"), soft_wrap=True)
    return Exit.OK
