"""What flows through a run: pages as read, documents as judged, verdicts as given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Body(StrEnum):
    """What a page's `body` holds, which decides how it becomes text."""

    HTTP = "http"
    """A WARC response's block: HTTP head and body, content and transfer encodings still on."""
    RESOURCE = "resource"
    """A payload without an HTTP head (WARC resource, ARC without one); `content_type` tells what."""
    TEXT = "text"
    """UTF-8 text already (WET, JSONL, Parquet): `extract` passes it untouched."""
    NONE = "none"
    """Nothing readable; `fault` of the `Page` says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record could not become a document. It ends in the ledger under stage `read` or `extract`."""

    reason: str
    value: float = 0.0
    threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the input, as read and not yet looked into.

    `offset` is where its record starts: the byte of its gzip member (of the record itself in an uncompressed or
    single-stream file), of its line in the decompressed JSONL, or its row in Parquet. (path, offset) is unique in a
    run and is the order of everything.
    """

    id: str
    url: str
    path: str
    offset: int
    dump: str = ""
    date: str = ""
    body_kind: Body = Body.TEXT
    body: bytes = b""
    content_type: str = ""
    digest: str = ""
    """WARC-Payload-Digest where the record has one, else empty."""
    fault: Fault | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    """What a JSONL line or a Parquet row had besides our columns."""
    language: str = ""
    """This and what follows: a row's own, which its document starts with."""
    language_score: float = 0.0
    language_script: str = ""
    token_count: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A page whose text is known (empty before `extract`). Immutable: edits use `dataclasses.replace`."""

    text: str
    id: str = ""
    url: str = ""
    path: str = ""
    offset: int = 0
    dump: str = ""
    date: str = ""
    language: str = ""
    language_score: float = 0.0
    language_script: str = ""
    top_languages: tuple[tuple[str, float], ...] = ()
    token_count: int = 0
    quality_score: float | None = None
    cluster_size: int = 1
    """Members of its duplicate cluster, itself included, as the last dedup stage counted them."""
    digest: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One rule's value beside its bound. `min` fails below the threshold, `max` above it; equality passes."""

    reason: str
    value: float
    threshold: float
    bound: str
    """"min" or "max"."""

    @property
    def failed(self) -> bool:
        """Whether the value is out of bounds; NaN never is."""
        return self.value < self.threshold if self.bound == "min" else self.value > self.threshold

    @property
    def margin(self) -> float:
        """Distance to the threshold: negative where the rule drops the document."""
        return self.value - self.threshold if self.bound == "min" else self.threshold - self.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a document is dropped: the defect's name, the measured value, the threshold it missed."""

    reason: str
    value: float
    threshold: float
