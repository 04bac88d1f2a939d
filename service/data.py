"""`--data [NAME=]DIR`: which name stands for which folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import TrainerError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def named(given: Sequence[str]) -> dict[str, str]:
    """Name -> path; the name of a path given without one is empty.

    Raises:
      TrainerError: A name stands twice, or without a path.
    """
    found: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals or not _NAME.fullmatch(name) or Path(entry).exists():  # a path may hold an equals sign
            name, path = "", entry
        if not path:
            raise TrainerError(f"--data {entry!r} names no folder; give a path, such as --data general=web")
        if name in found:
            raise TrainerError(
                f"--data {entry!r}: {f'the name {name!r}' if name else 'data without a name'} stands twice; "
                "one folder a name, such as --data general=web --data code=code"
            )
        found[name] = path
    return found
