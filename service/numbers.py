"""Numbers as arguments: what is none, or out of range, is told in words."""

import argparse
from math import inf


def positive(text: str) -> int:
    """An integer of at least 1."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """An integer of at least 0."""
    return _at_least(0, text)


def share(text: str) -> float:
    """A number in [0, 1]."""
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1]")
    return value


def number(text: str) -> float:
    """A finite number of at least 0."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"{text} is no finite number of at least 0")
    return value


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is not at least {least}")
    return value
