"""Which weights `eval`, `export` and `chat` take: `--weights`, `--device`."""

import argparse
from typing import TYPE_CHECKING, Any

from service.notes import Notes

if TYPE_CHECKING:
    from trainer.trained import Trained  # torch is an extra


def add_weights(parser: Any) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--weights",
        default="average",
        choices=["average", "raw"],
        help="the Polyak average where the run has one (default), or the last step's weights",
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")


def opened(args: argparse.Namespace) -> "Trained":
    """The model that the arguments name; a broken checkpoint that is passed over is told of."""
    from trainer.trained import open_trained

    return open_trained(args.model, average=args.weights == "average", device=args.device, note=Notes().tell)
