"""A source's condition speaks of a document's columns, and of nothing else."""

import pyarrow as pa
import pytest

from trainer.errors import TrainerError
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
    ],
)
def test_conditions(where: str, speaks_of: list[str], holds: list[bool]) -> None:
    condition = Condition(where, "web")
    assert list(condition.columns) == speaks_of
    assert condition.holds(COLUMNS).tolist() == holds
    assert condition.holds(COLUMNS.slice(1)).tolist() == holds[1:]


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
        ("nosuch(url)", "nosuch does not exist"),
        ("count(*) > 1", "aggregates"),
        ("exists (select 1 from read_csv('/etc/passwd'))", "a query of its own"),
        ("url in (select content from read_text('/etc/passwd'))", "a query of its own"),
        ("read_text('/etc/passwd') = 'x'", "table function"),
        ("url = getenv('HOME')", "getenv does not exist"),
        ("row_number() over () = 1", "other documents"),
        ("columns(*) is null", "columns by a pattern"),
        ("url = ?", "a parameter"),
        ("url = $name", "a parameter"),
        ("list_filter([1], x -> x > 0) = [1]", "a lambda"),
        ("random() < 0.5", "random() asks more than a document"),
        ("quality < RANDOM()", "random() asks more than a document"),
        ("now() > '2020-01-01'", "now() asks more than a document"),
        ("current_setting('threads') = '1'", "current_setting() asks more than a document"),
    ],
)
def test_what_is_no_condition_is_refused_by_name(where: str, why: str) -> None:
    with pytest.raises(TrainerError, match="source 'web'") as error:
        Condition(where, "web").holds(COLUMNS)
    assert repr(where) in str(error.value)
    assert why in str(error.value)
    assert "\n" not in str(error.value)
