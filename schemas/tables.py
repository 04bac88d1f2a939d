"""Arrow schemas of everything that is written, one an artefact. A column's name is spelled here and nowhere else."""

import pyarrow as pa

SHARD = pa.schema(
    [
        # FineWeb's columns, in its order
        ("text", pa.string()),
        ("id", pa.string()),
        ("dump", pa.string()),
        ("url", pa.string()),
        ("date", pa.string()),
        ("file_path", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float64()),
        ("token_count", pa.int64()),
        # ours
        ("offset", pa.int64()),
        ("language_script", pa.string()),
        ("top_languages", pa.string()),  # JSON: [[label, score], …]
        ("quality_score", pa.float64()),  # null without a quality stage
        ("cluster_size", pa.int32()),  # members of its duplicate cluster, itself included
        ("metadata", pa.string()),  # JSON object: what the input had besides
    ]
)
"""A published shard."""

DOCS = pa.schema([*SHARD, pa.field("digest", pa.string())])
"""The documents that one level hands to the next."""

LEDGER = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("outcome", pa.dictionary(pa.int32(), pa.string())),  # "kept" or "dropped"
        ("stage", pa.dictionary(pa.int32(), pa.string())),  # null where kept
        ("reason", pa.dictionary(pa.int32(), pa.string())),  # null where kept
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("gate", pa.dictionary(pa.int32(), pa.string())),  # which cheap gate cut the page short, null where none
        ("url_hash", pa.uint64()),  # xxh3_64 of the URL's UTF-8 bytes, serves `explain`
    ]
)
"""One row a page of the input, always."""

CLUSTERS = pa.schema(
    [
        ("stage", pa.dictionary(pa.int32(), pa.string())),
        ("keeper_id", pa.string()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int32()),
        ("kept", pa.bool_()),
    ]
)
"""One row a member of each duplicate cluster of at least two, keepers included."""

DROPPED_TEXT = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("text", pa.string()),  # after the PII edit
    ]
)
"""Texts of a seeded sample of dropped documents, some hundreds a reason."""


SIGNALS_KEY = pa.schema([("id", pa.string()), ("path", pa.string()), ("offset", pa.int64()), ("sampled", pa.bool_())])
"""What the signals table says of a page besides measurements."""


def signals(names: tuple[str, ...]) -> pa.Schema:
    """The signals table: one float32 column a measurement, named `stage.reason`, null where it was not measured."""
    return pa.schema([*SIGNALS_KEY, *(pa.field(name, pa.float32()) for name in names)])
