"""Which weights `eval`, `export` and `chat` take, and where they compute: `--weights`, `--device`."""

import argparse
from typing import TYPE_CHECKING, Any

from service.notes import Notes

if TYPE_CHECKING:
    from trainer.trained import Trained  # torch is an extra


def add_weights(parser: Any) -> None:
    """Declares --weights."""
    parser.add_argument(
        "--weights",
        default="average",
        choices=["average", "raw"],
        help="the Polyak average where the run has one (default), or the last step's weights",
    )


def add_device(parser: Any) -> None:
    """Declares --device, for commands that compute."""
    parser.add_argument("--device", default="", metavar="NAME", help="cpu, cuda (default: cuda where there is one)")


def opened(args: argparse.Namespace, device: str = "cpu") -> "Trained":
    """The model that the arguments name; a broken checkpoint that is passed over is told of."""
    from trainer.trained import open_trained

    return open_trained(args.model, average=args.weights == "average", device=device, note=Notes().tell)
