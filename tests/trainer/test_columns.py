"""Shards that others wrote: strings of every type are read alike by all who read them, what is none is told."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.trainer.bytes_tokenizer import BytesTokenizer
from tests.trainer.curated import write_tables
from trainer.corpus import Corpus, sample_rows
from trainer.errors import TrainerError
from trainer.evaluate.read import texts
from trainer.segments.read import Segments
from trainer.segments.tokenize import tokenize

TEXTS = [f"text {n} 글" for n in range(20)]
IDS = [f"urn:{n}" for n in range(20)]


def trained_on(folder: Path) -> list[str]:
    """Texts as segments hold them."""
    segments = Segments.open(tokenize(str(folder), "text", BytesTokenizer(), str(folder / "segments"), workers=1))
    starts = segments.starts(0)
    tokens = segments.read(0, "tokens", 0, int(starts[-1])).astype(np.uint8)
    return [bytes(tokens[a : b - 1]).decode() for a, b in pairwise(starts)]


READERS: dict[str, Callable[[Path], list[str]]] = {
    "training": trained_on,
    "tokenizer": lambda folder: [text for _, text in sample_rows(str(folder), 1000, seed=1)],
    "evaluation": lambda folder: [text.text for text in texts(str(folder))],
}
STRINGS: dict[str, Callable[[list[str]], pa.Array]] = {
    "string": pa.array,
    "large_string": lambda words: pa.array(words, pa.large_string()),
    "string_view": lambda words: pa.array(words, pa.string_view()),
    "dictionary": lambda words: pa.array(words).dictionary_encode(),
    "dictionary of large ones": lambda words: pa.array(words, pa.large_string()).dictionary_encode(),
}


def not_utf8(row: int) -> pa.Array:
    """Strings of which one begins with a byte that begins none."""
    values = [("\xff" if n == row else "a").encode("latin-1") for n in range(20)]
    offsets = np.arange(21, dtype=np.int32)
    return pa.StringArray.from_buffers(20, pa.py_buffer(offsets), pa.py_buffer(b"".join(values)))


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("made", STRINGS.values(), ids=STRINGS.keys())
def test_strings_of_every_type(tmp_path: Path, made: Any, read: Any) -> None:
    columns = {"id": made(IDS), "text": made(TEXTS), "language": made(["ko"] * 20), "url": made(["u"] * 20)}
    assert read(write_tables(tmp_path / "out", [pa.table(columns)])) == TEXTS


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("text", pa.array([b"a"] * 20), "column 'text' is of type binary, strings were expected"),
        ("text", pa.array(range(20)), "column 'text' is of type int64, strings were expected"),
        ("text", pa.array([["a"]] * 20), "column 'text' is of type list<"),
        ("text", pa.array([{"a": "b"}] * 20), "column 'text' is of type struct<"),
        ("text", not_utf8(13), "column 'text' is of type string, and is no UTF-8 in row 13: invalid start byte at"),
        ("id", not_utf8(0), "column 'id' is of type string, and is no UTF-8 in row 0: invalid start byte at"),
        ("text", not_utf8(19).dictionary_encode(), "indices=int32, ordered=0>, and is no UTF-8 in row 19: "),
        ("id", pa.array([b"a"] * 20), "column 'id' is of type binary, strings were expected"),
        ("id", pa.array([["a"]] * 20), "column 'id' is of type list<"),
        ("id", pa.array([0.5] * 20), "column 'id' is of type double, strings were expected"),
        ("id", pa.array([*IDS[:9], None, *IDS[10:]]), "has no id in row 9; give every"),
        ("id", pa.nulls(20), "has no id in row 0; give every"),
    ],
)
def test_what_is_no_words_is_told_by_its_place(tmp_path: Path, read: Any, name: str, column: Any, told: str) -> None:
    folder = write_tables(tmp_path / "out", [pa.table({"id": IDS, "text": TEXTS} | {name: column})])
    with pytest.raises(TrainerError) as error:
        read(folder)
    assert told in str(error.value)
    assert str(error.value).startswith(f"{f'{folder}/shards/part-00000-of-00001.parquet'!r}")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("name", ["id", "text"])
def test_a_column_that_is_missing_or_stands_twice(tmp_path: Path, read: Any, name: str) -> None:
    whole = pa.table({"id": IDS, "text": TEXTS})
    with pytest.raises(TrainerError, match=rf"has no column \['{name}'\]; there are \["):
        read(write_tables(tmp_path / "none", [whole.drop([name])]))
    twice = whole.append_column(name, whole[name])
    with pytest.raises(TrainerError, match=rf"has 2 columns '{name}'; leave one of them"):
        read(write_tables(tmp_path / "two", [twice]))


def test_others_that_stand_twice_are_no_columns_for_conditions(tmp_path: Path) -> None:
    """Nor are nested ones; who asks for such a column by its name is told."""
    arrays = [pa.array(IDS), pa.array(TEXTS), pa.array(["u"] * 20), pa.array(["v"] * 20), pa.array([{"a": 1}] * 20)]
    names = ["id", "text", "url", "url", "m"]
    folder = write_tables(tmp_path / "out", [pa.Table.from_arrays([*arrays, pa.array([5] * 20)], [*names, "m.a"])])
    corpus = Corpus(str(folder))
    (batch, *_) = corpus.rows(corpus.shards[0])
    assert batch.schema.names == ["id", "text", "m.a"]
    assert READERS["training"](folder) == READERS["tokenizer"](folder) == TEXTS
    with pytest.raises(TrainerError, match="has 2 columns 'url'"):
        list(texts(str(folder)))
    with pytest.raises(TrainerError, match="column 'm' is of type struct<"):
        next(corpus.rows(corpus.shards[0], words=("m",)))


def test_integers_are_ids(tmp_path: Path) -> None:
    """By the same words for all: what is held out is never trained on."""
    folder = write_tables(tmp_path / "out", [pa.table({"id": range(20), "text": TEXTS})])
    assert READERS["training"](folder) == TEXTS
    corpus = Corpus(str(folder))
    found = [name for batch in corpus.rows(corpus.shards[0], start=3) for name in batch["id"].to_pylist()]
    assert found == [str(n) for n in range(3, 20)]


def test_a_row_is_counted_from_the_shards_first(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "out", [pa.table({"id": IDS, "text": TEXTS, "url": not_utf8(17)})])
    corpus = Corpus(str(folder))
    for start in (0, 3, 8, 16):
        with pytest.raises(TrainerError, match=r"column 'url' .* no UTF-8 in row 17: "):
            list(corpus.rows(corpus.shards[0], start=start, batch_rows=2))
    assert sum(map(len, corpus.rows(corpus.shards[0], start=18))) == 2


def test_no_text_at_all(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "out", [pa.table({"id": IDS, "text": pa.nulls(20)})])
    assert READERS["training"](folder) == [""] * 20
