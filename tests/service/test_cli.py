"""The command: help that teaches, exit codes for scripts, one line for what is known to go wrong."""

import argparse
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from pkgutil import resolve_name

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifiers.fasttext import ModelError
from classifiers.fit import FitError
from classifiers.texts import TextsError
from classifiers.train import OptionsError
from curation.beam_arguments import BeamArgumentError
from curation.explain import MeasureError, NoPageError
from curation.inputs import InputsError
from curation.ledger import LedgerError
from curation.output import OutputError, WrongFolderError
from curation.phases import RunFailedError
from curation.recipe import RecipeError
from curation.registry import StageError
from service import cli
from service.exits import Exit
from storage.errors import Locked, MissingError, PathError, RegistryError, StorageError

COMMANDS = (
    *("run", "demo", "plan", "explain", "report", "sample", "models", "classifier"),
    *("tokenizer", "tokenize", "train", "eval", "export", "chat", "ablate"),
)


def command(*args: str) -> "subprocess.CompletedProcess[str]":
    """The command as users start it."""
    return subprocess.run([sys.executable, "-m", "service", *args], capture_output=True, text=True, timeout=120)


def test_the_commands() -> None:
    assert tuple(cli.COMMANDS) == COMMANDS


def parse(*args: str) -> argparse.Namespace:
    return cli.parser().parse_args(list(args))


@pytest.mark.parametrize("name", [*COMMANDS, "models list", "classifier train", "classifier evaluate", ""])
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*name.split(), "--help")
    assert ended.value.code == 0
    words = capsys.readouterr().out
    assert words.startswith(f"usage: gristmill {name}".rstrip())
    assert len(words.splitlines()) >= 4
    for option in ("--input", "--output", "--set", "--where", "--fresh", "--clean", "--limit", "--work"):
        if name == "run":
            assert option in words


def test_help_teaches() -> None:
    told = cli.parser().format_help()
    listed = [line.split()[0] for line in told.splitlines() if line.startswith("    ") and line[4] != " "]
    assert listed == list(COMMANDS)
    assert "exit codes: 0 done, 1 failed" in told
    assert "gristmill run fineweb --input 'crawl/*.warc.gz' --output out" in told


def test_arguments_of_run() -> None:
    args = parse(
        "run", "fineweb", "--input", "a", "b", "--input", "c", "--output", "o", "--set", "c4.x=1", "--set", "seed=2",
        "--limit", "5", "--workers", "3", "--fresh",
    )  # fmt: skip
    assert (args.pipeline, args.input, args.output) == ("fineweb", ["a", "b", "c"], "o")
    assert (args.settings, args.limit, args.workers) == (["c4.x=1", "seed=2"], 5, 3)
    assert (args.fresh, args.clean, args.work, args.retries, args.max_failed_files) == (True, False, "", 2, 0)
    assert args.prefix == "https://data.commoncrawl.org/"


WRONG = {
    "no_command": ([], "the following arguments are required: COMMAND"),
    "unknown_command": (["runn"], "invalid choice: 'runn'"),
    "no_input": (["run", "fineweb", "--output", "o"], "the following arguments are required: --input"),
    "no_output": (["run", "fineweb", "--input", "a"], "the following arguments are required: --output"),
    "unknown_option": (["run", "f", "--input", "a", "--output", "o", "--colour"], "unrecognized arguments: --colour"),
    "abbreviation": (["run", "f", "--input", "a", "--out", "o"], "the following arguments are required: --output"),
    "zero_workers": (["run", "f", "--input", "a", "--output", "o", "--workers", "0"], "0 is not at least 1"),
    "negative_limit": (["run", "f", "--input", "a", "--output", "o", "--limit", "-4"], "-4 is not at least 1"),
    "no_number": (["sample", "d", "--pages", "x"], "argument --pages: 'x' is no whole number"),
    "retries": (["run", "f", "--input", "a", "--output", "o", "--retries", "-1"], "argument --retries: -1 is not at"),
    "failed": (["run", "f", "--input", "a", "--output", "o", "--max-failed-files", "-1"], "-1 is not at least 0"),
    "unreadable": (["run", "f", "--input", "a", "--output", "o", "--max-unreadable", "50"], "50 is not in [0, 1]"),
    "price": (["plan", "f", "--input", "a", "--price", "-1"], "argument --price: -1 is no finite number"),
    "no_action": (["models"], "the following arguments are required: ACTION"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, words = WRONG[case]
    with pytest.raises(SystemExit) as ended:
        parse(*args)
    assert ended.value.code == Exit.USAGE
    assert words in capsys.readouterr().err


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """`gristmill run` only remembers its arguments."""
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr("service.commands.run.main", lambda args: seen.append(args) or Exit.OK)
    return seen


BEAM = {
    "none": ([], ()),
    "empty": (["--"], ()),
    "flink": (["--", "--runner=FlinkRunner", "--flink_master=h:1"], ("--runner=FlinkRunner", "--flink_master=h:1")),
    "ours_too": (["--", "--workers", "9", "--", "x"], ("--workers", "9", "--", "x")),
}


@pytest.mark.parametrize("case", BEAM)
def test_what_stands_behind_goes_to_beam_unchanged(case: str, acting: list[argparse.Namespace]) -> None:
    behind, args = BEAM[case]
    assert cli.obey(["run", "fineweb", "--input", "a", "--output", "o", *behind]) == Exit.OK
    assert acting[0].beam_args == args
    assert acting[0].workers is None


ERRORS: dict[str, tuple[BaseException, Exit]] = {
    "failed": (RunFailedError("3 of the jobs failed"), Exit.FAILED),
    "ledger": (LedgerError("rows differ"), Exit.FAILED),
    "storage": (StorageError("no space left"), Exit.FAILED),
    "system": (PermissionError(13, "Permission denied", "/x"), Exit.FAILED),
    "recipe": (RecipeError("no such stage"), Exit.USAGE),
    "stage": (StageError("clash"), Exit.USAGE),
    "inputs": (InputsError("no input"), Exit.USAGE),
    "missing_file": (MissingError("no file"), Exit.USAGE),
    "folder": (PathError("is a folder"), Exit.USAGE),
    "beam": (BeamArgumentError("knows no --runer"), Exit.USAGE),
    "model": (RegistryError("can't be had"), Exit.MISSING),
    "texts": (TextsError("too few"), Exit.USAGE),
    "options": (OptionsError("dim = 0"), Exit.USAGE),
    "no_page": (NoPageError("has no page"), Exit.USAGE),
    "no_run": (WrongFolderError("no run finished here"), Exit.USAGE),
    "hostile_page": (MeasureError("timed_out"), Exit.FAILED),
    "training": (FitError("NaN"), Exit.FAILED),
    "no_model": (ModelError("no fastText model"), Exit.MISSING),
    "foreign": (OutputError("another's"), Exit.FOREIGN),
    "locked": (Locked("held"), Exit.LOCKED),
    "interrupted": (KeyboardInterrupt(), Exit.INTERRUPTED),
}


@pytest.mark.parametrize("case", ERRORS)
def test_exit_codes(case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error, code = ERRORS[case]

    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("service.commands.run.main", fail)
    assert cli.obey(["run", "fineweb", "--input", "a", "--output", "o"]) == code
    words = capsys.readouterr().err
    assert words.strip().startswith("gristmill: ")
    assert len(words.strip().splitlines()) == 1
    assert case == "interrupted" or str(error) in words


def test_errors_are_named_rightly() -> None:
    """Each name is that of a class, and none stands behind one it inherits from, where it would never be asked."""
    kinds = [resolve_name(name) for name in cli.EXITS]
    assert [kind for kind in kinds if not issubclass(kind, Exception)] == []
    assert [(a, b) for a, b in combinations(kinds, 2) if issubclass(b, a)] == []


def test_errors_steer_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise StorageError("no \x1b[31m\nfile\u202e")

    monkeypatch.setattr("service.commands.run.main", fail)
    assert cli.obey(["run", "fineweb", "--input", "a", "--output", "o"]) == Exit.FAILED
    assert capsys.readouterr().err == "gristmill: no \\x1b[31m file\\u202e\n"


def test_a_defect_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("service.commands.run.main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.obey(["run", "fineweb", "--input", "a", "--output", "o"])


IMPORTED = """
import sys
from service.cli import obey
try:
    obey(sys.argv[1:])
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
SLOW = {"apache_beam", "torch", "numpy", "pyarrow", "pydantic", "requests"}
BEAM_SIDE = {"apache_beam", "curation.driver", "curation.explain", "curation.inputs"}
SPARED = {
    "help": (["--help"], SLOW),
    "version": (["--version"], SLOW),
    "no_command": ([], SLOW),
    "help_of_run": (["run", "--help"], SLOW),
    "help_of_train": (["train", "--help"], SLOW),
    "help_of_a_list_of_actions": (["tokenizer", "train", "--help"], SLOW),
    "usage_of_run": (["run", "fineweb"], SLOW),
    "usage_of_train": (["train", "gpt2-nano", "--steps", "3"], SLOW),
    "models": (["models", "list"], {"apache_beam", "torch"}),
    "report": (["report", "no-such-folder"], {"apache_beam", "torch"}),
    "train_what": (["train", "gpt3", "--output", "o"], BEAM_SIDE | {"torch"}),
    "train_where": (["train", "gpt2-nano"], BEAM_SIDE | {"torch"}),
    "train": (["train", "gpt2-nano", "--estimate"], BEAM_SIDE),
    "chat": (["chat", "no-such-folder"], BEAM_SIDE),
    "run": (["run", "fineweb3", "--input", "a", "--output", "o"], {"torch", "trainer.recipe"}),
    "explain": (["explain", "no-such-folder", "x"], {"torch", "trainer.recipe"}),
}
"""A command line, and modules that it does without."""


@pytest.mark.parametrize("case", SPARED)
def test_a_command_imports_what_it_needs(case: str) -> None:
    args, spared = SPARED[case]
    done = subprocess.run([sys.executable, "-c", IMPORTED, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.splitlines()[-1].split())
    assert "service.commands.train" in imported
    assert imported & spared == set()


def test_as_a_process(tmp_path: Path) -> None:
    done = command("run", "fineweb3", "--input", "a", "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "has no pipeline 'fineweb3'; it has fineweb, " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--positives", str(tmp_path / "a.jsonl"), "--negatives", str(tmp_path / "b.jsonl")]
    assert cli.obey(["classifier", "evaluate", *texts, "--model", str(tmp_path / "no.bin")]) == Exit.MISSING
    assert capsys.readouterr().err == f"gristmill: there is no model '{tmp_path}/no.bin'; check --model, or train one\n"


def test_training_with_nothing_as_a_process(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    told = [str(tmp_path / "a.jsonl"), "--negatives", str(tmp_path / "a.jsonl"), "--model", str(tmp_path / "m.bin")]
    done = command("classifier", "train", "--positives", *told, "--dim", "0")
    assert (done.returncode, done.stderr) == (Exit.USAGE, "gristmill: dim = 0: at least 1 was expected\n")


BAD_INPUTS = {
    "folder": (["{here}"], "'{here}' is a folder; give its files by a glob such as '{here}/**/*.warc.gz'"),
    "missing": (["{here}/no.warc.gz"], "cannot find '{here}/no.warc.gz': there is no such file or folder"),
    "glob": (["{here}/*.warc.gz"], "no file matches '{here}/*.warc.gz'; check the pattern"),
    "format": (["{here}/notes"], "{here}/notes: of no format known here: "),
    "protocol": (["gopher://a/b"], "cannot open 'gopher://a/b': Protocol not known: gopher; known are local paths"),
    "url": (["http://[::1/a.warc.gz"], "'http://[::1/a.warc.gz' is no URL "),
    "http_glob": (["http://h/*.warc.gz"], "cannot expand 'http://h/*.warc.gz': HTTP servers do not list folders"),
    "no_text": (
        ["{here}/a.parquet"],
        "{here}/a.parquet: no column `text`, only body; rename the one that holds the text",
    ),
    "empty": ([""], "'' is no path: give a file, folder or URL"),
    "output": (
        ["{here}/a.jsonl", "--output", "{here}/notes/out"],
        "'{here}/notes/out' can't be a folder: '{here}/notes",
    ),
    "work": (
        ["{here}/a.jsonl", "--work", "{here}/notes"],
        "'{here}/notes' can't be a folder: '{here}/notes' is a file",
    ),
    "beam": (["{here}/notes", "--", "--runer=x"], "Beam knows no '--runer' (did you mean --runner?)"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_leave_nothing_behind(case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello")
    (tmp_path / "a.jsonl").write_text('{"text": "hello"}')
    pq.write_table(pa.table({"body": ["hello"]}), tmp_path / "a.parquet")
    (tmp_path / "mine.yaml").write_text("curation: {mine: {stages: [pii]}}")
    args, words = BAD_INPUTS[case]
    given = [arg.format(here=tmp_path) for arg in args]
    line = ["run", f"{tmp_path}/mine.yaml#mine", "--output", str(tmp_path / "out"), "--input", *given]
    assert cli.obey(line) == Exit.USAGE
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"gristmill: {words.format(here=tmp_path)}")
    assert not (tmp_path / "out").exists()


CLOSED = {
    "help": (["--help"], 0),
    "help_of_run": (["run", "--help"], 0),
    "version": (["--version"], 0),
    "list": (["models", "list"], 0),
    "wrong": (["runn"], Exit.USAGE),
    "error": (["report", "no-such-folder"], Exit.USAGE),
}


@pytest.mark.parametrize("case", CLOSED)
@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_nobody_reads(case: str, closed: tuple[str, ...]) -> None:
    """As in `gristmill --help | head -0`."""
    args, code = CLOSED[case]
    reader, writer = os.pipe()
    os.close(reader)
    pipes = {name: writer if name in closed else subprocess.PIPE for name in ("stdout", "stderr")}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-m", "service", *args], **pipes, text=True, env=env) as started:  # type: ignore[call-overload]
        os.close(writer)
        printed = "".join(filter(None, started.communicate(timeout=120)))
    assert started.returncode == code
    assert "Traceback" not in printed
    assert "BrokenPipe" not in printed


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_no_stream_at_all(closed: str) -> None:
    script = f"{sys.executable} -m service --version {closed}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "gristmill")
