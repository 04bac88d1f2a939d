"""Crawl to shards: plan, read, extract, judge, deduplicate, publish, report.

`curation.run(...)` runs a pipeline, `curation.ForEach(stage)` is any document stage in a Beam pipeline of your own.
Both are imported when first asked for: the child in which pages are touched imports this package, and must stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.driver import Inputs, Options, run
    from curation.for_each import ForEach

__all__ = ["ForEach", "Inputs", "Options", "run"]

_HOMES = {"ForEach": "curation.for_each", **dict.fromkeys(("Inputs", "Options", "run"), "curation.driver")}


def __getattr__(name: str) -> Any:
    """The public names, on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'curation' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
