"""The manifest: what a finished run consists of. Written as JSON beside the shards; readers trust nothing else."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Part):
    """A published file, its path below the output folder."""

    path: str
    sha256: str
    bytes: int
    rows: int


class InputEntry(_Part):
    """An input file and what was found in it."""

    name: str
    path: str
    bytes: int
    etag: str
    pages: int
    skipped: dict[str, int] = Field(default_factory=dict)
    """Records that are no pages (request, metadata, revisit, …) by type."""
    faults: dict[str, int] = Field(default_factory=dict)
    """Pages that the file holds damaged, by reason; the ledger says where, with the stage `read`."""
    error: str = ""
    """Why the file could not be read, empty where it could."""


class StageEntry(_Part):
    """A stage as it ran: every parameter resolved."""

    name: str
    enabled: bool
    version: int
    params: dict[str, Any]


class Counts(_Part):
    """in = kept + dropped, always."""

    pages: int
    kept: int
    dropped: int
    dropped_by: dict[str, dict[str, int]]
    """stage -> reason -> pages, in pipeline order."""
    tokens: int
    characters: int


class GateSample(_Part):
    """Sampled pages that came to a gate, which lets them pass whatever it measures."""

    asked: int = 0
    failed: int = 0
    """Those that it would have dropped."""
    kept: int = 0
    """Those that were kept in the end."""
    lost: int = 0
    """Those that it would have dropped and that were kept in the end: its false loss."""


class GateEntry(_Part):
    """A gate, and what it did."""

    stage: str
    reason: str
    threshold: float
    dropped: int
    sample: GateSample


class Manifest(_Part):
    """See the module."""

    format_version: int = 1
    gristmill: str
    pipeline: str
    description: str
    language: str
    recipe_sha256: str
    stages: tuple[StageEntry, ...]
    publish: dict[str, Any]
    sample: dict[str, Any]
    seed: int
    files_used: dict[str, str]
    """Models and lists: name -> sha256."""
    libraries: dict[str, str]
    """Distributions whose output reaches hashed bytes -> version."""
    deviations: tuple[str, ...] = ()
    """Where this run departs from the recipe it is named after, in words."""
    inputs_root: str
    inputs: tuple[InputEntry, ...]
    counts: Counts
    gates: tuple[GateEntry, ...] = ()
    retries: dict[str, int] = Field(default_factory=dict)
    """Pages that met a limit of time or memory and were tried again, by outcome: the one exception to determinism."""
    files: tuple[FileEntry, ...]
