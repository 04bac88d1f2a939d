"""How much of a list repeats itself."""

from collections.abc import Iterable

__all__ = ["duplicates"]


def duplicates(parts: Iterable[str]) -> tuple[int, int]:
    """How many parts occurred before in the list, and how many characters these have together."""
    seen: set[str] = set()
    count = characters = 0
    for part in parts:
        if part in seen:
            count += 1
            characters += len(part)
        else:
            seen.add(part)
    return count, characters
