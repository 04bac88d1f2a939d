"""`gristmill eval`: what a trained model knows, as one JSON line."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.exits import Exit
from service.extras import needs_torch
from service.numbers import natural, positive, share
from service.terminal import plain_json
from service.weights import add_device, add_weights, opened
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.evaluate.multiple_choice import Question  # torch is an extra
    from trainer.trained import Trained

SHOTS = 4
"""Solved sums before each one that a base model is asked."""
HAY = 4
"""Tokens of other text, times the longest needle test: each trial begins elsewhere in them."""

DESCRIPTION = """\
Scores texts that the model has not seen, each on its own, encoded as the exported tokenizer does by default and cut to
the context; a text's first token is no target. Prints one JSON line: loss (nats a target), targets, bits_per_byte (over
the scored tokens' UTF-8 bytes: comparable between tokenizers), texts; with --by the same a group; with --choices the
share of questions answered rightly, its 95 % interval (Wilson), how many of these questions lost their beginning to the
context (shortened), and how many more were not asked, as it can't hold a choice (too_long); with --sums the sums
answered rightly, by language; with --needle the share of numbers, told once at five depths of a prompt of LENGTH
tokens, that the model finds likelier at its end than three others (chance: a quarter).
"""

EPILOG = """\
examples:
  gristmill eval model --texts held-out.jsonl                          {"text": …, "language": "ko", "url": …} a line
  gristmill eval model --texts held-out.jsonl --by language --by domain
  gristmill eval model --texts held-out.jsonl --choices questions.jsonl --shots 3
                                            {"question": …, "choices": […], "answer": 0} a line
  gristmill eval model --texts out --held-out 0.005 --by language      what no stage trained on of a curated folder
  gristmill eval model --texts out --needle 8192 --needle 131072       "needle": {"8192": 1.0, "131072": 0.95}
  gristmill eval hf-folder --texts held-out.jsonl
"""


def add(commands: Any, name: str) -> None:
    """Declares the arguments."""
    parser = commands.add_parser(
        name,
        help="score a trained model on texts",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="a run's output, a checkpoint, or a HF folder")
    parser.add_argument(
        "--texts", metavar="FILE", help="JSONL (.gz, .zst) with a `text` a line, or a curated folder; scored as a whole"
    )
    parser.add_argument(
        "--held-out",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="of a curated folder only what a recipe with this held_out has not trained on (default: all)",
    )
    parser.add_argument("--by", action="append", default=[], choices=["language", "domain"], help="also a group each")
    parser.add_argument("--choices", metavar="FILE", help="multiple-choice questions, JSONL")
    parser.add_argument(
        "--shots", type=natural, default=0, metavar="N", help="of them that stand solved before each other"
    )
    parser.add_argument(
        "--sums", type=natural, default=0, metavar="N", help="ask so many held-out sums of the arithmetic generator"
    )
    parser.add_argument(
        "--below", type=natural, default=100, metavar="N", help="their numbers are smaller than this, 10 to 100"
    )
    parser.add_argument(
        "--base", action="store_true", help="ask sums as plain text behind four solved ones, not as a chat"
    )
    parser.add_argument(
        "--needle",
        type=positive,
        action="append",
        default=[],
        metavar="LENGTH",
        help="look for needles hidden in the texts, in prompts of so many tokens; may stand often",
    )
    add_weights(parser)
    add_device(parser)


def main(args: argparse.Namespace) -> int:
    """Runs it; prints one JSON line."""
    if not (args.texts or args.choices or args.sums):
        raise TrainerError("there is nothing to evaluate on; give --texts FILE, --choices FILE or --sums N")
    if (args.by or args.needle or args.held_out < 1) and not args.texts:
        raise TrainerError("--by, --held-out and --needle read texts, and there are none; give --texts FILE")
    needs_torch()
    from trainer.evaluate.read import questions  # torch is an extra

    asked = questions(args.choices) if args.choices else []
    if args.choices and args.shots >= len(asked):
        raise TrainerError(f"--shots {args.shots} leaves nothing to ask of the {len(asked)} questions")
    trained = opened(args, args.device)
    _check_lengths(trained, args.needle)
    line: dict[str, Any] = {}
    if args.texts:
        line |= _losses(trained, args)
    if asked:
        line["choices"] = _choices(trained, asked[args.shots :], asked[: args.shots])
    if args.sums:
        line["sums"] = _sums(trained, args)
    if args.needle:
        line["needle"] = _needles(trained, args)
    print(plain_json(json.dumps(line, ensure_ascii=False, allow_nan=False)))  # noqa: T201
    return Exit.OK


def _losses(trained: "Trained", args: argparse.Namespace) -> dict[str, Any]:
    from trainer.evaluate.bits_per_byte import Loss, evaluate
    from trainer.evaluate.read import texts

    def told(loss: Loss) -> dict[str, Any]:
        return {
            "loss": _known(loss.loss),
            "targets": loss.targets,
            "bits_per_byte": _known(loss.bits_per_byte),
            "texts": loss.texts,
        }

    read = texts(args.texts, args.held_out)
    whole, groups = evaluate(trained.decoder, trained.tokenizer, read, trained.decoder.spec.context)
    by = {kind: {name: told(loss) for name, loss in sorted(groups.get(kind, {}).items())} for kind in args.by}
    return told(whole) | by


def _choices(trained: "Trained", asked: Sequence["Question"], shots: Sequence["Question"]) -> dict[str, Any]:
    from trainer.evaluate.multiple_choice import ask

    score = ask(trained.decoder, trained.tokenizer, asked, trained.decoder.spec.context, shots)
    return {
        "questions": score.questions,
        "accuracy": _known(score.accuracy),
        "interval_95": score.interval(),
        "shortened": score.shortened,
        "too_long": score.too_long,
    }


def _sums(trained: "Trained", args: argparse.Namespace) -> dict[str, Any]:
    from trainer import arithmetic
    from trainer.evaluate.sums import exact_match
    from trainer.speak import Speaker

    problems = arithmetic.problems(args.sums, seed=1, held_out=True, below=args.below)
    shots = arithmetic.problems(SHOTS, seed=2, below=args.below) if args.base else ()
    return {"asked": len(problems), "right": exact_match(Speaker(trained, max_tokens=16), problems, shots)}


def _needles(trained: "Trained", args: argparse.Namespace) -> dict[str, float]:
    from trainer.evaluate.needle import haystack, needle
    from trainer.evaluate.read import texts

    words = (text.text for text in texts(args.texts, args.held_out))
    hay = haystack(trained.tokenizer, words, HAY * max(args.needle))
    return {str(length): needle(trained.decoder, trained.tokenizer, hay, length) for length in args.needle}


def _check_lengths(trained: "Trained", lengths: Sequence[int]) -> None:
    """Told before anything is scored, which may take long."""
    from trainer.evaluate.needle import shortest_row

    least, most = shortest_row(trained.tokenizer), trained.decoder.spec.context
    for length in lengths:
        if not least <= length <= most:
            raise TrainerError(
                f"--needle {length} can't be: give a length from {least}, what a needle takes, to {most}, the "
                "model's context"
            )


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN, which JSON has no word for
