"""Sets of characters written as hexadecimal code-point ranges, the form in which this package keeps its tables."""

import re
from collections.abc import Iterator


def expand(ranges: str) -> Iterator[str]:
    """Yields the characters of a table such as `"21-2f 3a ff01"`, in the order of the table.

    Args:
        ranges: hexadecimal code points or inclusive `first-last` ranges, separated by white space.

    Raises:
        ValueError: an entry isn't hexadecimal.
    """
    for entry in ranges.split():
        first, _, last = entry.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


def character_class(characters: set[str] | frozenset[str]) -> str:
    """Returns the inside of a regular expression's `[...]` that matches exactly `characters`.

    Neighbours are joined into ranges, so that a class of 100,000 characters compiles in milliseconds.
    """
    runs: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" if a < b else re.escape(chr(a)) for a, b in runs)
