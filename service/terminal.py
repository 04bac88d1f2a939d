"""Others' words on a terminal: made visible where they would steer it, and no name is cut."""

import os
import re

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""C0 and C1 controls, marks and overrides of writing direction (Unicode's Bidi_Control), line separators, the byte
order mark, and lone surrogates, which no encoding can write."""


class Terminal(Console):
    """A console whose reader may leave: what is printed afterwards is lost, and the work goes on."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Where rich would end the process with exit code 1."""
        self.quiet = True
        silence(self.file.fileno())


def silence(descriptor: int) -> None:
    """Leads a descriptor whose reader has left to nowhere, so that later flushes succeed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def plain(text: str) -> str:
    r"""The text with what would steer a terminal made visible: ESC as `\x1b`, a right-to-left override as `\u202e`."""
    return _STEERING.sub(_visible, text)


def plain_json(line: str) -> str:
    """A line of JSON with the same escaped as JSON escapes it: whoever reads it gets the same strings."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def sentence(error: Exception) -> str:
    """An error's words on one line; they may quote pages, names and addresses."""
    return plain(" ".join(line.strip() for line in str(error).split("\n")))


def _visible(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def whole(table: Table, *columns: int) -> Table:
    """Keeps the cells of these columns (by number) uncut however narrow the terminal; print it with `crop=False`.

    Call it when all rows are there.
    """
    for column in (table.columns[number] for number in columns if table.row_count):
        column.no_wrap = True
        column.min_width = max(map(_width, (column.header, *column.cells)))
    return table


def _width(cell: object) -> int:
    return cell_len(cell.plain if isinstance(cell, Text) else str(cell))
