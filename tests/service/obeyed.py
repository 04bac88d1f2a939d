"""The command in the test's own process: how it ended and what it printed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> dict[str, Any]:
        """The one JSON line."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


Gristmill = Callable[..., Done]
