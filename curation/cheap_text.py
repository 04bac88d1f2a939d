"""A page's text without looking for the main one: what gates judge by.

It decides little: which language the page as a whole is in.
"""

from typing import Any

from lxml import etree

MOST_CHARACTERS = 5_000
"""fastText takes some 1.5 ms for so many. Of 351 German pages one was lost with 3,000, none with 5,000 or more."""

_SILENT = frozenset(
    {"iframe", "noscript", "object", "option", "script", "select", "style", "svg", "template", "textarea"}
)
"""Elements whose text nobody reads as the page's; lists of countries and languages are made of `option`."""


def cheap_text(tree: Any) -> str:
    """The words of a parsed page in their order, menus and all, single blanks between them.

    Args:
      tree: an lxml element without comments, as trafilatura parses; it is left as it is.

    Returns:
      Up to the run of text that reaches `MOST_CHARACTERS`, of which no more is taken either.
    """
    runs: list[str] = []
    room = MOST_CHARACTERS
    walk = etree.iterwalk(tree, events=("start", "end"))
    for event, element in walk:
        if event == "start" and element.tag in _SILENT:
            walk.skip_subtree()  # its end is told all the same
            continue
        run = element.text if event == "start" else element.tail
        if run and not run.isspace():
            runs.append(" ".join(run[:MOST_CHARACTERS].split()))
            room -= len(runs[-1]) + 1
            if room <= 0:
                break
    return " ".join(runs)
