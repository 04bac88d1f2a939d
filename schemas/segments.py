"""Segments on storage: sealed token arrays, and the manifests that name and hash them. Written once, never changed.

A shard, or a file of conversations, is encoded once however many data folders hold it. What a tokenizer has sealed lies
in one folder, `<encoding>/`. Of segment `<unit>-003`, the fourth of what `<unit>` is the hash of, there are, each name
bearing its own content's hash:
  <unit>-003.<hash>.tokens           ids, little-endian uint16 or uint32, document after document
  <unit>-003.<hash>.starts           int64, documents + 1: document i is tokens[starts[i] : starts[i + 1]]
  <unit>-003.<hash>.mask             uint8 aligned with tokens: 1 where a token may be a target; absent where all may
  <unit>-003.<hash>.columns.parquet  a row a document: id, id_hash, bytes, targets, and the shard's scalar columns
  <unit>-003.<hash>.blocks           16 bytes (xxh3_128, big-endian) a block of 256 KiB of each of these, in this order
  marks/<unit>-003.json              that it is sealed; data that holds the unit takes it over
and, for all, tokenizer.json, for whoever decodes the tokens elsewhere: manifests name its sha256. Beside the folder,
for each data, lies `<key>/segments.json` (`SegmentsManifest`), written last. Marks and manifests end with a line that
is the sha256 of what stands before it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

BLOCK_BYTES = 256 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArrayEntry(_Part):
    """One array of a segment; the file of its columns is one of bytes."""

    name: Literal["tokens", "starts", "mask", "columns"]
    path: str
    """Below the folder of sealed files."""
    bytes: int
    dtype: Literal["uint8", "uint16", "uint32", "int64"]


class SegmentEntry(_Part):
    """One segment."""

    name: str
    arrays: tuple[ArrayEntry, ...]
    """Their blocks' hashes stand in `blocks` in this order."""
    blocks: str
    blocks_sha256: str
    documents: int
    tokens: int
    targets: int
    """Tokens that may be targets: masked in, and not first of their document."""
    text_bytes: int
    """UTF-8 bytes of the texts."""


class SegmentsManifest(_Part):
    """The segments of some data."""

    format_version: int = 3
    key: str
    """Hash of the data and of `encoding`."""
    encoding: str = ""
    """Name of the folder of sealed files, beside the manifest's: hash of the tokenizer, the segments' size and this
    format. Empty where the files lie in the manifest's own."""
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
