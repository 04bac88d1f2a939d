"""Segments on storage: sealed token arrays, and the manifest that names and hashes them. Written once, never changed.

A folder of segments holds, for segment `00012-003` (the fourth of shard 12), each name bearing its content's hash:
  00012-003.<hash>.tokens           ids, little-endian uint16 or uint32, document after document
  00012-003.<hash>.starts           int64, documents + 1: document i is tokens[starts[i] : starts[i + 1]]
  00012-003.<hash>.mask             uint8 aligned with tokens: 1 where a token may be a target; absent where all may
  00012-003.<hash>.columns.parquet  a row a document: id, id_hash, bytes, targets, and the shard's scalar columns
  00012-003.<hash>.blocks           16 bytes (xxh3_128, big-endian) a block of 256 KiB of each array, in their order
  marks/00012-003.json              that it is sealed; not read once all are
and, for all, tokenizer.json and, written last, segments.json (`SegmentsManifest`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

BLOCK_BYTES = 256 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArrayEntry(_Part):
    """One array of a segment."""

    name: Literal["tokens", "starts", "mask"]
    path: str
    """Below the folder."""
    bytes: int
    dtype: Literal["uint8", "uint16", "uint32", "int64"]


class SegmentEntry(_Part):
    """One segment."""

    name: str
    arrays: tuple[ArrayEntry, ...]
    """Their blocks' hashes stand in `blocks` in this order."""
    blocks: str
    blocks_sha256: str
    columns: str
    columns_sha256: str
    documents: int
    tokens: int
    targets: int
    """Tokens that may be targets: masked in, and not first of their document."""
    text_bytes: int
    """UTF-8 bytes of the texts."""


class SegmentsManifest(_Part):
    """A folder of segments."""

    format_version: int = 1
    key: str
    """Hash of what the folder was made from: the data's manifest (or files), the tokenizer, and this format."""
    kind: Literal["text", "chat", "preference"]
    data: str
    """Where the data lay, for errors; not part of the key."""
    data_sha256: str
    tokenizer_sha256: str
    segments: tuple[SegmentEntry, ...]

    @property
    def targets(self) -> int:
        """Of all segments."""
        return sum(segment.targets for segment in self.segments)
