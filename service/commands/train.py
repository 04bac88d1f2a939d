"""`gristmill train`: a recipe over curated data into a trained model."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from service.data import named
from service.exits import Exit
from service.extras import needs_torch
from service.terminal import Terminal, plain
from service.watch import Watch
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from schemas.training import TrainingSpec
    from trainer.train.start import Options  # torch is an extra

DESCRIPTION = """\
Trains a model. RECIPE is a name in pipelines.yaml (gpt2-124m, gpt2-1.6b, llama3.1, qwen2, sft-dpo, or gpt2-nano,
llama3.1-nano, qwen2-nano, sft-dpo-nano, which end in seconds on a CPU) or FILE.yaml#NAME. DIR of --data is what
`gristmill run` made. The same command on the same output goes on from its last good checkpoint.
"""

EPILOG = """\
examples:
  gristmill train llama3.1-nano --data out --output model
  gristmill train gpt2-124m --data out --output model --dry-run       stages, steps, epochs, padding; trains nothing
  gristmill train gpt2-1.6b --estimate                                memory, FLOPs, hours, price; reads no data
  gristmill train llama3.1 --data general=web --data math=math --data code=code --data multilingual=ko --output model
  gristmill train sft-dpo --init model --data chats=chats.jsonl --data pairs=pairs.jsonl --output chat-model
  gristmill train llama3.1 --anneal model --data general=new …        branch off a checkpoint to judge a data set
  torchrun --nproc-per-node 8 -m service train gpt2-1.6b --data out --output model

The output holds metrics.jsonl (a row a step), timing.jsonl, checkpoints/, tokenizer/, plan/, report.html, events for
TensorBoard, and _SUCCESS at the end. `gristmill eval`, `export` and `chat` take it.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="train a model on curated data",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a curated folder, or a file of conversations or preferences for a source of that kind; may stand often",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the run lives")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="a tokenizer.json (default: one is trained)")
    parser.add_argument(
        "--segments", default="", metavar="DIR", help="keeps tokenised data for all runs (default: a cache)"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--init", default="", metavar="DIR", help="start from a model: a run's output, or a Hugging Face folder"
    )
    start.add_argument(
        "--anneal", default="", metavar="DIR", help="start from a run's checkpoint, and do the stage `anneal` alone"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a part of the recipe, such as model.layers=4, stages.core.tokens=10M, seed=1; may stand often",
    )
    parser.add_argument("--dry-run", action="store_true", help="print stages, steps, epochs and padding; train nothing")
    parser.add_argument("--estimate", action="store_true", help="print memory, FLOPs, hours, price; read no data")
    parser.add_argument("--fresh", action="store_true", help="delete this output first and start anew")
    parser.add_argument("--device", default="", metavar="NAME", help="cpu, cuda (default: cuda where there is one)")
    parser.add_argument("--deterministic", action="store_true", help="equal bits in every run on a GPU too; slower")


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    from trainer.recipe import load

    name, spec = load(args.recipe, args.settings)
    data = named(args.data)
    if args.output is None and not (args.estimate or args.dry_run):
        raise TrainerError("--output DIR is missing: the folder where the run is to live")
    needs_torch()
    from trainer.train.run import train  # torch is an extra
    from trainer.train.start import Options

    options = Options(
        tokenizer=args.tokenizer,
        init=args.init or args.anneal,
        anneal=bool(args.anneal),
        segments=args.segments,
        fresh=args.fresh,
        device=args.device,
        deterministic=args.deterministic,
    )
    if args.estimate:
        return _estimate(name, spec, options)
    if args.dry_run:
        return _dry_run(spec, data, options)
    speaks = os.environ.get("RANK", "0") == "0"  # under torchrun, one for all
    with Watch() as watch:
        if not train(name, spec, data, args.output, options, watch):
            if speaks:
                watch.note("stopped; the checkpoint stands, the same command goes on")
            return Exit.INTERRUPTED
    if speaks:
        report = (args.output / "report.html").resolve()
        Terminal().print(Text(f"open    file://{plain(str(report))}"), soft_wrap=True)
    return Exit.OK


def _estimate(name: str, spec: "TrainingSpec", options: "Options") -> int:
    from trainer.estimate import of_recipe
    from trainer.train.start import fitted
    from trainer.trained import stored

    start = stored(options.init, tensors=False) if options.init else None
    spec = fitted(spec, start, options.anneal)
    table = Table.grid(padding=(0, 2))
    for what, how_much in of_recipe(name, spec).lines():
        table.add_row(Text(plain(what)), Text(plain(how_much)))
    Terminal().print(table)
    return Exit.OK


def _dry_run(spec: "TrainingSpec", data: Mapping[str, str], options: "Options") -> int:
    from service.dry_run import show
    from trainer.train.dry_run import dry_run
    from trainer.train.start import fitted, given_tokenizer
    from trainer.trained import stored

    start = stored(options.init, tensors=False) if options.init else None
    tokenizer = given_tokenizer(options, start)
    show(dry_run(fitted(spec, start, options.anneal), data, tokenizer, options.segments), Terminal())
    return Exit.OK
