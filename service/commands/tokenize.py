"""`gristmill tokenize`: a data folder into segments, ahead of training."""

import argparse
import json
from pathlib import Path
from typing import Any

from service.exits import Exit
from service.numbers import positive
from service.terminal import Terminal

DESCRIPTION = """\
Turns a curated folder (or files of conversations or preferences) into sealed segments of token ids, which all runs with
that data and tokenizer share; `gristmill train` does the same where it has not been done. Killed and given again, it
goes on. Prints one JSON line: the folder, documents, tokens, targets, bytes a token.
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="turn data into segments of tokens",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("data", metavar="DIR", help="what `gristmill run` made; or JSONL of --kind chat, preference")
    parser.add_argument("--tokenizer", required=True, type=Path, metavar="FILE", help="a tokenizer.json")
    parser.add_argument("--kind", default="text", choices=["text", "chat", "preference"])
    parser.add_argument("--segments", default="", metavar="DIR", help="where segments are kept (default: a cache)")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core)")


def main(args: argparse.Namespace) -> int:
    """Runs it; prints one JSON line."""
    from storage.registry import cache_folder
    from trainer.segments.read import Segments
    from trainer.segments.tokenize import Progress, tokenize
    from trainer.tokenizer.tokenizer import Tokenizer

    console = Terminal(stderr=True)

    def show(progress: Progress) -> None:
        if progress.units:
            console.print(f"{progress.units} of {progress.of} files, {progress.tokens:,} tokens", soft_wrap=True)

    root = args.segments or str(cache_folder() / "segments")
    tokenizer = Tokenizer.load(args.tokenizer)
    folder = tokenize(args.data, args.kind, tokenizer, root, workers=args.workers, progress=show)
    segments = Segments.open(folder).manifest.segments
    tokens = sum(segment.tokens for segment in segments)
    size = sum(segment.text_bytes for segment in segments)
    line = {
        "folder": folder,
        "segments": len(segments),
        "documents": sum(segment.documents for segment in segments),
        "tokens": tokens,
        "targets": sum(segment.targets for segment in segments),
        "bytes_per_token": size / tokens if tokens else None,
    }
    print(json.dumps(line))  # noqa: T201
    return Exit.OK
