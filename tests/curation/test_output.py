"""The output folder: whose it is, and what stands in it."""

from pathlib import Path

import pytest

from curation.output import (
    FOLDERS,
    MANIFEST,
    REPORT,
    RUN,
    SUCCESS,
    TALLY,
    Output,
    OutputError,
    WrongFolderError,
    entries,
)
from schemas.manifest import FileEntry
from storage.commit import Committed

MINE = {"pipeline": "a", "recipe": "1", "limit": 0}


def test_claimed_once_and_again(tmp_path: Path) -> None:
    out = Output(str(tmp_path / "out"))
    assert out.claim(MINE) is False
    assert out.claim(MINE) is False
    Path(out.at(SUCCESS)).touch()
    assert out.claim(MINE) is True


DIFFER = {
    "recipe": ({**MINE, "recipe": "2"}, 'recipe: "1" there, "2" now'),
    "two": ({**MINE, "recipe": "2", "limit": 5}, 'limit: 0 there, 5 now; recipe: "1" there, "2" now'),
    "a_key_more": ({**MINE, "where": "x"}, 'where: null there, "x" now'),
    "long": ({**MINE, "pipeline": "y" * 99}, f'pipeline: "a" there, "{"y" * 56}… now'),
}


@pytest.mark.parametrize("case", DIFFER)
def test_another_runs_output(case: str, tmp_path: Path) -> None:
    identity, words = DIFFER[case]
    out = Output(str(tmp_path))
    out.claim(MINE)
    with pytest.raises(OutputError) as caught:
        out.claim(identity)
    assert str(caught.value) == (
        f"{str(tmp_path)!r} holds another run's output ({words}); give another --output, or --fresh to start anew"
    )


PARAMETERS = {
    "value": ({"a.n": 1, "a.m": 2}, {"a.n": 1, "a.m": 3}, "a.m: 2 there, 3 now"),
    "the_first": ({"a.n": 1, "a.m": 2}, {"a.n": 5, "a.m": 3}, "a.n: 1 there, 5 now"),
    "one_more": ({}, {"a.n": 1}, 'recipe: "1" there, "2" now'),
    "one_less": ({"a.n": 1, "b": True}, {"a.n": 1}, "b: true there, null now"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_first_parameter_that_differs(case: str, tmp_path: Path) -> None:
    there, now, words = PARAMETERS[case]
    out = Output(str(tmp_path))
    out.claim(MINE, there)
    assert out.claim(MINE, there) is False
    with pytest.raises(OutputError) as caught:
        out.claim({**MINE, "recipe": "2"}, now)
    assert f"recipe: {words.removeprefix('recipe: ')})" in str(caught.value)


@pytest.mark.parametrize("name", [*FOLDERS, MANIFEST, SUCCESS])
def test_somebody_elses_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "x").touch()
    with pytest.raises(OutputError) as caught:
        Output(str(tmp_path)).claim(MINE)
    assert str(caught.value) == f"{str(tmp_path)!r} holds {name} and no run.json: no run made it; give another --output"
    assert not (tmp_path / RUN).exists()


def test_files_that_are_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert Output(str(tmp_path)).claim(MINE) is False


@pytest.mark.parametrize("work", [True, False])
def test_clear_takes_what_runs_write_and_nothing_else(work: bool, tmp_path: Path) -> None:
    for folder in (*FOLDERS, "work/sift", "mine"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "x").touch()
    for name in (RUN, MANIFEST, TALLY, REPORT, SUCCESS, "notes.txt"):
        (tmp_path / name).touch()
    Output(str(tmp_path)).clear(work=work)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "notes.txt", *([] if work else ["work"])]
    Output(str(tmp_path)).clear(work=work)  # nothing to do is no error


def test_sweep(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "shards" / name).touch()
    out = Output(str(tmp_path))
    out.sweep("shards", ["b"])
    out.sweep("ledger", [])
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["b"]


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(WrongFolderError, match=r"has no manifest.json: no run finished here; give a run's --output$"):
        Output(str(tmp_path)).manifest()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pipeline": 3}'])
def test_a_manifest_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(WrongFolderError, match=rf"^'{tmp_path}/manifest.json' is no manifest of a run: .") as caught:
        Output(str(tmp_path)).manifest()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_a_folder_that_does_not_say_whose_it_is(content: str, tmp_path: Path) -> None:
    (tmp_path / RUN).write_text(content)
    with pytest.raises(OutputError, match=rf"^'{tmp_path}/run.json' does not say whose folder this is .*or --fresh$"):
        Output(str(tmp_path)).claim(MINE)


def test_entries() -> None:
    assert entries([("shards", "part", Committed("x", "ab", 7), 3)]) == (
        FileEntry(path="shards/part", sha256="ab", bytes=7, rows=3),
    )


def test_fresh_leaves_what_no_run_made(tmp_path: Path) -> None:
    for name in ("work", "shards"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="no run made it"):
        Output(str(tmp_path)).clear(work=True)
    (tmp_path / RUN).touch()
    Output(str(tmp_path)).clear(work=True)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.txt")] == ["work/thesis.txt"]


def test_clearing_work_takes_only_what_phases_left(tmp_path: Path) -> None:
    for name in ("sift", "mine"):
        (tmp_path / "work" / name).mkdir(parents=True)
    Output(str(tmp_path)).clear_work()
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["mine"]
