"""A source's condition speaks of a document's columns, and of nothing else."""

import re
import subprocess
import sys

import pyarrow as pa
import pytest

from trainer.errors import TrainerError
from trainer.plan import condition
from trainer.plan.condition import Condition

COLUMNS = pa.table(
    {"language": ["ko", "en", None], "quality": [0.1, 0.6, 0.9], "url": ["a", "b", "c"], "odd name": [1, 2, 3]}
)


@pytest.mark.parametrize(
    ("where", "speaks_of", "holds"),
    [
        ("language = 'ko' or quality > 0.8", ["language", "quality"], [True, False, True]),
        ("language <> 'ko'", ["language"], [False, True, False]),
        ("language is null -- of none", ["language"], [False, False, True]),
        ("documents.url in ('a', 'c')", ["url"], [True, False, True]),
        ('"odd name" between 2 and 3', ["odd name"], [False, True, True]),
        ("url like '%b' and not quality < 0.5", ["quality", "url"], [False, True, False]),
        ("true", [], [True, True, True]),
        ("length(url) + abs(-quality) between 1 and 1.7", ["quality", "url"], [True, True, False]),
        ("coalesce(upper(language), 'none') || url ~ '^(EN|none)[bc]$'", ["language", "url"], [False, True, True]),
        ("case when try_cast(url as integer) is null then quality < 0.5 end", ["quality", "url"], [True, False, False]),
        ("date_diff('day', date '2020-01-01', date '2020-01-03') = \"odd name\"", ["odd name"], [False, True, False]),
    ],
)
def test_conditions(where: str, speaks_of: list[str], holds: list[bool]) -> None:
    made = Condition(where, "web")
    assert list(made.columns) == speaks_of
    assert made.holds(COLUMNS).tolist() == holds
    assert made.holds(COLUMNS.slice(1)).tolist() == holds[1:]


SCORES = [None, float("nan"), -1.0, 0.75, float("inf")]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("q > 0.5", [False, False, False, True, True]),
        ("not q > 0.5", [False, False, True, False, False]),
        ("q <= 0.5 or q > 0.5", [False, False, True, True, True]),
        ("q is null", [True, True, False, False, False]),
        ("isfinite(q)", [False, False, True, True, False]),
        ("coalesce(q, 9) > 5", [True, True, False, False, True]),
    ],
)
def test_what_was_never_scored_is_null(kind: pa.DataType, where: str, holds: list[bool]) -> None:
    columns = pa.table({"q": pa.array(SCORES, kind), "bytes": [float("nan")] * 5})
    assert Condition(where, "web").holds(columns).tolist() == holds
    assert Condition(where, "web").holds(columns.slice(1)).tolist() == holds[1:]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.decimal128(38, 2), pa.date32(), pa.date64()),
        *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary(4)),
        *(pa.time32("s"), pa.time64("ns"), pa.timestamp("s"), pa.timestamp("ns"), pa.duration("us")),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_columns_that_can_be_asked(kind: pa.DataType) -> None:
    columns = pa.table({"q": pa.nulls(2, kind), "n": [0, 1]})
    assert Condition("q is null and n > 0", "web").holds(columns).tolist() == [False, True]
    assert Condition("q = q", "web").holds(columns).tolist() == [False, False]


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ns", "Asia/Seoul"), pa.timestamp("us", "UTC"), pa.decimal256(50, 2), pa.list_(pa.int8()), pa.uuid()],
    ids=str,
)
def test_columns_that_can_not_be_asked_are_told_by_their_type(kind: pa.DataType) -> None:
    columns = pa.table({"q": pa.nulls(2, kind), "n": [0, 1]})
    told = re.escape(f"column 'q' is of type {kind}, which can't be asked; there are numbers")
    with pytest.raises(TrainerError, match=f"^source 'web': where .* is no condition on its documents: {told}"):
        Condition("q is null", "web").holds(columns)
    assert Condition("n > 0", "web").holds(columns).tolist() == [False, True]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("language = ", "syntax error"),
        ("(((", "syntax error"),
        ("1=1) union select (1", "syntax error"),
        ("true; drop table documents", "more than one statement"),
        ("true, false", "is no condition"),
        ("true) or (true", "syntax error"),
        ("", "is no condition"),
        ("url = 1", "Could not convert string 'a'"),
        ("url", "Could not convert string 'a'"),
        ("nosuch > 1", '"nosuch" not found'),
        ("nosuch(url)", "nosuch() is none of its functions"),
        ("count(*) > 1", "count_star() is none of its functions"),
        ("exists (select 1 from read_csv('/etc/passwd'))", "a query of its own"),
        ("url in (select content from read_text('/etc/passwd'))", "a query of its own"),
        ("read_text('/etc/passwd') = 'x'", "read_text() is none of its functions"),
        ("url = getenv('HOME')", "getenv() is none of its functions"),
        ("row_number() over () = 1", "other documents"),
        ("columns(*) is null", "columns by a pattern"),
        ("url = ?", "a parameter"),
        ("url = $name", "a parameter"),
        ("list_filter([1], x -> x > 0) = [1]", "list_filter() is none of its functions"),
        ("random() < 0.5", "random() is none of its functions"),
        ("quality < RANDOM()", "random() is none of its functions"),
        ("isnan(quality)", "isnan() is none of its functions"),
        ("now() > '2020-01-01'", "now() is none of its functions"),
        ("length(repeat(url, 1000000)) > 5", "repeat() is none of its functions"),
        ("list_sum(range(1000000000)) > 0", "list_sum() is none of its functions"),
        ("lpad(url, 1000000000, 'x') > 'a'", "lpad() is none of its functions"),
        ("replace(replace(url, 'a', 'aaaaaaaaa'), 'a', 'aaaaaaaaa') > ''", "replace() is none of its functions"),
        ("cast(null as int[100000][100000]) is null", "'array' is none of the types"),
        ("cast(cast(url as blob) as bit) is null", "'blob' is none of the types"),
        ("cast(url as timestamptz) is null", "'timestamptz' is none of the types"),
        ("url collate de = 'a'", "what DuckDB calls COLLATE"),
        ("current_setting('threads') = '1'", "current_setting() is none of its functions"),
    ],
)
def test_what_is_no_condition_is_refused_by_name(where: str, why: str) -> None:
    with pytest.raises(TrainerError, match="source 'web'") as error:
        Condition(where, "web").holds(COLUMNS)
    assert repr(where) in str(error.value)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_every_function_and_type_that_is_named_is_one() -> None:
    with condition._connection() as connection:
        known = {name for (name,) in connection.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
        types = {name for (name,) in connection.execute("SELECT type_name FROM duckdb_types()").fetchall()}
    assert set(condition._FUNCTIONS.split()) - known == set()
    assert set(condition._TYPES.split()) - types == set()


@pytest.mark.parametrize(("rows", "size"), [(1, 2**20), (7, 2**20), (10_000, 1), (10_000, 300), (10_000, 2**20)])
def test_any_batches_choose_the_same(monkeypatch: pytest.MonkeyPatch, rows: int, size: int) -> None:
    monkeypatch.setattr(condition, "_ROWS", rows)
    monkeypatch.setattr(condition, "_BYTES", size)
    urls = ["x" * (n % 40) for n in range(200)]
    found = Condition("length(url) > 20", "web").holds(pa.table({"url": urls}))
    assert found.tolist() == [len(url) > 20 for url in urls]
    assert Condition("length(url) > 20", "web").holds(pa.table({"url": urls}).slice(0, 0)).tolist() == []


MEASURED = """
import resource, sys
import pyarrow as pa
from trainer.plan import condition
from trainer.plan.condition import Condition
table = pa.table({"url": ["x" * 100_000] * 2000})
Condition("url > ''", "web").holds(table)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert Condition("lower(url) || upper(url) || reverse(url) || lower(url) > ''", "web").holds(table).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_long_values_take_bounded_memory() -> None:
    """200 MB of them, of which DuckDB holds some MB at a time."""
    out = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, check=True, text=True).stdout
    assert int(out) < 400


@pytest.mark.parametrize("where", ["bytes > " + "+".join(["1"] * 700), "not " * 800 + "bytes > 1"])
def test_what_is_nested_too_deeply_is_told(where: str) -> None:
    with pytest.raises(TrainerError, match=r"nested too deeply|no condition"):
        Condition(where, "web")
