"""`--data [NAME=]DIR`: which name stands for which folder."""

from collections.abc import Sequence
from pathlib import Path

from trainer.errors import TrainerError


def named(given: Sequence[str]) -> dict[str, str]:
    """Name -> path; the name of a path given without one is empty.

    Raises:
      TrainerError: a name stands twice.
    """
    found: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals or Path(entry).exists():  # a path may hold an equals sign of its own
            name, path = "", entry
        if name in found:
            raise TrainerError(
                f"--data {entry!r}: {f'the name {name!r}' if name else 'data without a name'} stands twice; "
                "one folder a name, such as --data general=web --data code=code"
            )
        found[name] = path
    return found
