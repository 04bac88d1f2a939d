"""Readers: a task of a file in, its pages out, every record of the input accounted for."""

from curation.readers.base import FormatError, NoTextError, Reader
from curation.readers.limits import Limits
from curation.readers.registry import VERSION, open_task, page_at

__all__ = ["VERSION", "FormatError", "Limits", "NoTextError", "Reader", "open_task", "page_at"]
