"""The table of FineWeb-2's numbers, `data/fineweb2.parquet`: one row a label."""

from importlib.resources import files
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("min_score", pa.float64()),
        ("max_duplicate_lines", pa.float64()),  # null: off
        ("top_n_grams", pa.list_(pa.float64(), 3)),  # by n: 2, 3, 4
        ("duplicate_n_grams", pa.list_(pa.float64(), 6)),  # 5 to 10
        ("min_terminal_lines", pa.float64()),  # null: off
        ("max_newlines", pa.float64()),
        ("min_mean_word_length", pa.float64()),
        ("max_mean_word_length", pa.float64()),
        ("min_alphabetic_words", pa.float64()),
        ("stop_words", pa.list_(pa.string())),
    ]
)
"""The table's columns, by the names that our rules give the numbers."""


def rows() -> list[dict[str, Any]]:
    """Its rows, in the table's order."""
    data = files(__name__.rpartition(".")[0]).joinpath("data", "fineweb2.parquet").read_bytes()
    found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(data), schema=SCHEMA).to_pylist()
    return found
