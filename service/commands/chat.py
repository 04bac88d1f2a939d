"""`gristmill chat`: talk to a trained model."""

import argparse
import io
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from service.exits import Exit
from service.extras import needs_torch
from service.notes import Notes
from service.numbers import number, positive, share
from service.terminal import plain
from service.weights import add_device, add_weights, opened
from trainer.errors import PromptError

if TYPE_CHECKING:
    from trainer.speak import Piece  # torch is an extra

_LONE = re.compile("[\ud800-\udfff]")
EPILOG = """\
examples:
  gristmill chat model                              a conversation on the terminal; an empty line or Ctrl-D ends it
  gristmill chat model --ask "What is 3 + 4?"       one answer
  gristmill chat model --ask "Why?" 2>/dev/null     the answer without its reasoning, which goes to stderr
  gristmill chat model --base --ask "Once upon"     what a base model goes on with, without a template
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="talk to a trained model",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="a run's output, a checkpoint, or a HF folder")
    parser.add_argument("--ask", action="append", default=[], metavar="TEXT", help="ask this; may stand often")
    parser.add_argument("--base", action="store_true", help="go on with the text as it stands: no turns, no template")
    parser.add_argument("--system", default="", metavar="TEXT", help="what stands before the conversation")
    parser.add_argument("--temperature", type=number, default=0.0, metavar="T", help="0 (default) takes the likeliest")
    parser.add_argument("--top-p", type=share, default=1.0, metavar="P", help="draw from the likeliest tokens alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-tokens", type=positive, default=256, metavar="N")
    add_weights(parser)
    add_device(parser)


def main(args: argparse.Namespace) -> int:
    """Runs it."""
    needs_torch()
    try:
        _talk(args)
    except KeyboardInterrupt:  # how people leave a chat; there is nothing that could go on
        sys.stderr.write("\n")
        return Exit.INTERRUPTED
    return Exit.OK


def _talk(args: argparse.Namespace) -> None:
    from schemas.chat import Message
    from trainer.speak import Speaker  # torch is an extra

    speaker = Speaker(
        opened(args, args.device),
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
        max_tokens=args.max_tokens,
    )
    said: list[Message] = [Message(role="system", content=_readable(args.system))] if args.system else []
    whole = True
    for question in map(_readable, args.ask or _asked()):
        try:
            if args.base:
                _write(speaker.goes_on(question), sys.stdout)
                continue
            asked = [*said, Message(role="user", content=question)]
            said = speaker.recent(asked)
        except PromptError as error:
            if args.ask or not sys.stdin.isatty():
                raise
            Notes().tell(str(error))
            continue
        if whole and len(said) < len(asked):
            Notes().tell("the conversation outgrows the model's context: from here on its oldest turns are left out")
            whole = False
        reasoning, content = _answer(speaker.turn(said))
        said.append(Message(role="assistant", content=content, reasoning_content=reasoning))


def _readable(text: str) -> str:
    """The text with U+FFFD for bytes that are no UTF-8, which Python hands on as lone surrogates."""
    return _LONE.sub("\N{REPLACEMENT CHARACTER}", text)


def _asked() -> Iterator[str]:
    """Lines from the terminal or a pipe."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # not what the locale says, which may be to raise
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not line.strip():
            return
        yield line


def _answer(pieces: "Iterator[Piece]") -> tuple[str, str]:
    """Writes a turn as it comes, its reasoning on stderr; gives reasoning and answer back whole."""
    told = {True: "", False: ""}
    for reasons, run in groupby(pieces, attrgetter("reasoning")):
        sys.stderr.write("reasoning: " if reasons else "")
        told[reasons] += _write((piece.text for piece in run), sys.stderr if reasons else sys.stdout)
    if not told[False]:
        sys.stdout.write("\n")
    return told[True], told[False]


def _write(texts: Iterable[str], to: TextIO) -> str:
    """Writes texts as they come, and a line's end; gives them back as one."""
    whole = ""
    for text in texts:
        whole += text
        to.write("\n".join(map(plain, text.split("\n"))))
        to.flush()
    to.write("\n")
    return whole
