"""How parts are cut: by rows and groups, whatever the tasks were."""

from pathlib import Path

import pytest

from curation import parts
from curation.keep import Kept
from curation.ledger import LedgerLevel
from curation.levels import DedupResult, TaskState
from curation.parts import part_name
from curation.recipe import Recipe, resolve
from schemas.recipe import PipelineSpec
from schemas.records import Document
from schemas.tasks import Compression, Format, Source, Task
from tests.curation.test_documents import write

NAMES = {
    "plain": ((0, 1, None), "part-00000-of-00001.parquet"),
    "many": ((12, 64, None), "part-00012-of-00064.parquet"),
    "by_language": ((0, 1, {"language": "kor_Hang"}), "kor_Hang-part-00000-of-00001.parquet"),
    "by_two": ((1, 2, {"language": "en", "dump": "CC-1"}), "en-CC-1-part-00001-of-00002.parquet"),
    "of_no_value": ((0, 1, {"dump": ""}), "none-part-00000-of-00001.parquet"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str) -> None:
    given, name = NAMES[case]
    assert part_name(*given) == name


def test_a_name_that_is_no_path() -> None:
    name = part_name(0, 1, {"dump": "../../etc/x y"})
    assert "/" not in name
    assert name.endswith("-part-00000-of-00001.parquet")


CUTS: dict[str, tuple[list[int], int, list[list[tuple[int, int, int]]]]] = {
    "nothing": ([], 3, [[]]),
    "no_rows": ([0, 0], 3, [[]]),
    "fewer": ([2], 3, [[(0, 0, 2)]]),
    "exactly": ([3], 3, [[(0, 0, 3)]]),
    "one_more": ([4], 3, [[(0, 0, 3)], [(0, 3, 1)]]),
    "over_tasks": ([2, 0, 5], 3, [[(0, 0, 2), (2, 0, 1)], [(2, 1, 3)], [(2, 4, 1)]]),
    "one_task_many_parts": ([6], 2, [[(0, 0, 2)], [(0, 2, 2)], [(0, 4, 2)]]),
}


def state(number: int, rows: int = 0) -> TaskState:
    """A task's state, told apart by its documents' path."""
    source = Source("p", f"n{number}", 0, "", Format.WARC, Compression.GZIP, "")
    task = Task(f"t{number}", number, source, 0, 1)
    return TaskState(task, [LedgerLevel("ledger", Kept(str(number), rows))], facts=[{"pages": rows}])


@pytest.mark.parametrize("case", CUTS)
def test_cut_by_rows(case: str) -> None:
    counts, rows, wanted = CUTS[case]
    made = list(parts._cut([(state(i), n) for i, n in enumerate(counts)], rows))
    assert [[(int(s["kept"]["docs"]), s["skip"], s["take"]) for s in part] for part in made] == wanted


def recipe(*by: str) -> Recipe:
    """Two rows a part."""
    return resolve(
        "p", PipelineSpec.model_validate({"stages": ["pii"], "publish": {"rows_per_part": 2, "by": list(by)}})
    )


@pytest.fixture
def states(tmp_path: Path) -> list[TaskState]:
    """Two tasks: languages b a a, then a b."""
    made = []
    for i, languages in enumerate(["baa", "ab"]):
        docs = [Document("", offset=at, language=letter, dump="d") for at, letter in enumerate(languages)]
        made.append(state(i, len(docs)))
        made[-1].levels[-1] = LedgerLevel("ledger", Kept(write(tmp_path, docs), len(docs)))
    return made


SHARDS: dict[str, tuple[tuple[str, ...], list[tuple[str, list[tuple[int, int, int]]]]]] = {
    "together": (
        (),
        [
            ("part-00000-of-00003.parquet", [(0, 0, 2)]),
            ("part-00001-of-00003.parquet", [(0, 2, 1), (1, 0, 1)]),
            ("part-00002-of-00003.parquet", [(1, 1, 1)]),
        ],
    ),
    "by_language": (
        ("language",),
        [
            ("a-part-00000-of-00002.parquet", [(0, 0, 2)]),
            ("a-part-00001-of-00002.parquet", [(1, 0, 1)]),
            ("b-part-00000-of-00001.parquet", [(0, 0, 1), (1, 0, 1)]),
        ],
    ),
    "by_both": (
        ("dump", "language"),
        [
            ("d-a-part-00000-of-00002.parquet", [(0, 0, 2)]),
            ("d-a-part-00001-of-00002.parquet", [(1, 0, 1)]),
            ("d-b-part-00000-of-00001.parquet", [(0, 0, 1), (1, 0, 1)]),
        ],
    ),
}


@pytest.mark.parametrize("case", SHARDS)
def test_shards(case: str, states: list[TaskState]) -> None:
    by, wanted = SHARDS[case]
    order = {s.kept.docs: i for i, s in enumerate(states)}
    made = [
        (p["name"], [(order[s["kept"]["docs"]], s["skip"], s["take"]) for s in p["slices"]])
        for p in parts._shards(recipe(*by), states)
    ]
    assert made == wanted


@pytest.mark.parametrize("by", [(), ("language",), ("dump", "language")])
def test_no_documents_at_all(by: tuple[str, ...], tmp_path: Path) -> None:
    """Readers want a file with the columns, even so."""
    empty = state(0)
    empty.levels[-1] = LedgerLevel("ledger", Kept(write(tmp_path, []), 0))
    wanted = {"kind": "shards", "name": "part-00000-of-00001.parquet", "slices": [], "group": {}}
    assert list(parts._shards(recipe(*by), [])) == [wanted]
    assert list(parts._shards(recipe(*by), [empty])) == [wanted]


def test_whole_tasks_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LEDGER_ROWS_PER_PART", 10)
    states = [state(i, rows) for i, rows in enumerate([4, 6, 1, 30, 0, 9])]
    made = list(parts._by_tasks("ledger", states, parts._ledger_task))
    assert [[task["where"] for task in part["tasks"]] for part in made] == [
        ["n0 from 0", "n1 from 0"],
        ["n2 from 0"],
        ["n3 from 0"],
        ["n4 from 0", "n5 from 0"],
    ]
    assert [part["name"] for part in made] == [part_name(i, 4) for i in range(4)]


def test_clusters_of_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LEDGER_ROWS_PER_PART", 10)
    results = [DedupResult("url_dedup", "g1", 0, "d1"), DedupResult("minhash", "g2", 12, "d2")]
    made = [(p["name"], p["stage"], p["start"], p["stop"]) for p in parts._clusters(results)]
    assert made == [(part_name(0, 2), "minhash", 0, 10), (part_name(1, 2), "minhash", 10, 12)]
    assert list(parts._clusters([])) == [{"kind": "clusters", "name": part_name(0, 1)}]
