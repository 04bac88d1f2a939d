"""The bounds that keep one record from costing a run its memory or its time. All are deterministic."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of what a reader accepts. They decide what a page is, so they belong to a phase's hash."""

    max_record_bytes: int = 64 << 20
    """Largest block of a record that is kept in memory; above it the record is `record_too_large`."""
    max_line_bytes: int = 64 << 20
    """Largest JSONL line; above it `line_too_long`."""
    max_head_bytes: int = 1 << 20
    """Largest head (version line and named fields) of a record."""
    max_member_bytes: int = 1 << 30
    """Most that one compressed member may inflate to; above it `gzip_bomb`."""
    max_ratio: int = 250
    """Where members are one stream: inflated bytes allowed for each packed one, beyond `max_member_bytes`. Deflate
    can't pass 1,032; text rarely passes 20."""
    max_false_lengths: int = 8
    """Records with a false length in one stream before a record also ends where the next one visibly begins, which
    keeps the cost of looking for it linear."""
