"""The subcommands, one by one: what they do and what they print."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.explain import NoPageError
from curation.inputs import InputsError
from curation.output import WrongFolderError
from curation.recipe import RecipeError
from curation.rules.gopher_repetition import GopherRepetition
from service import cli
from service.commands.plan import amount
from service.commands.sample import make
from service.exits import Exit
from service.sample import read_truth
from storage.errors import StorageError
from tests.runs import Finished, Sample, rows


def act(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
    """Runs a subcommand in this process; what it printed, spaces squeezed."""
    parsed = cli.parser().parse_args(list(args))
    parsed.beam_args = ()
    assert cli.COMMANDS[parsed.command].main(parsed) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide, plain terminal."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")


def test_explain_says_value_threshold_and_margin(fineweb: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(r for r in fineweb.rows("ledger") if r["stage"] == "gopher_quality" and r["url"])
    lines = act(capsys, "explain", str(fineweb.output), row["url"])
    assert lines[:3] == [
        row["url"],
        f"{row['id']}, {row['path']} at {row['offset']}",
        f"dropped by gopher_quality: {row['reason']} ({row['value']:g}, threshold {row['threshold']:g})",
    ]
    assert lines[3] == "stage rule value threshold margin"
    (told,) = [line for line in lines if f"{row['reason']} " in line and "dropped" not in line]
    value, sign, threshold, margin = re.search(r"(\S+) ([≥≤]) (\S+) (\S+)$", told).groups()  # type: ignore[union-attr]
    assert (value, threshold) == (f"{row['value']:.4g}", f"{row['threshold']:.4g}")
    wanted = row["value"] - row["threshold"] if sign == "≥" else row["threshold"] - row["value"]
    assert margin == f"{wanted:+.4g}"
    assert margin.startswith("-")
    assert any(line.startswith("fineweb ") for line in lines)  # rules behind the one that dropped it, too


def test_explain_a_duplicate(fineweb: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(r for r in fineweb.rows("clusters") if not r["kept"])
    lines = act(capsys, "explain", str(fineweb.output), row["id"])
    assert f"dropped by minhash: near_duplicate ({row['size']}, threshold 1)" in lines
    assert f"minhash: a duplicate of {row['keeper_id']}, in a cluster of {row['size']}" in lines


def test_explain_a_fault(fineweb: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(r for r in fineweb.rows("ledger") if r["reason"] == "http_status")
    lines = act(capsys, "explain", str(fineweb.output), row["id"])
    assert f"extract http_status {row['value']:g} {row['threshold']:g}" in lines


def test_explain_nobody(fineweb: Finished, tmp_path: Path) -> None:
    with pytest.raises(NoPageError, match="has no page with the URL or id 'x'"):
        cli.COMMANDS["explain"].main(cli.parser().parse_args(["explain", str(fineweb.output), "x"]))
    with pytest.raises(WrongFolderError, match=r"has no manifest.json: no run finished here"):
        cli.COMMANDS["explain"].main(cli.parser().parse_args(["explain", str(tmp_path), "x"]))


def test_explain_cuts_no_names_and_neutralises(
    fineweb: Finished, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = next(r for r in fineweb.rows("ledger") if r["stage"] == "gopher_quality" and r["url"])
    hostile = {**row, "url": row["url"] + "\x1b[2J" + "x" * 80}
    monkeypatch.setattr("curation.explain.find", lambda *_: [hostile])
    lines = act(capsys, "explain", str(fineweb.output), row["id"])
    assert lines[0] == row["url"] + "\\x1b[2J" + "x" * 80
    told = {word for line in lines[3:] for word in line.split()}
    assert set(GopherRepetition.reasons) & told == set(GopherRepetition.reasons)
    assert not any("…" in line for line in lines)


def gristmill(*args: str, **env: str) -> "subprocess.Popen[bytes]":
    """The command, its output a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "service", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env},
    )  # fmt: skip


def test_explain_where_nothing_but_ascii_can_be_written(fineweb: Finished) -> None:
    row = next(r for r in fineweb.rows("ledger") if r["stage"] == "gopher_quality" and r["url"])
    out, err = (done := gristmill("explain", str(fineweb.output), row["id"], PYTHONIOENCODING="ascii")).communicate()
    assert (done.returncode, err) == (0, b"")
    assert b" >= " in out
    assert out.isascii()


def test_a_reader_who_leaves_is_no_failure(fineweb: Finished) -> None:
    with gristmill("explain", str(fineweb.output), fineweb.rows("ledger")[0]["id"]) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        assert (started.wait(), started.stderr.read()) == (0, b"")


def test_report_is_drawn_again(fineweb: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("manifest.json", "tally.json"):
        shutil.copy(fineweb.output / name, out)
    assert act(capsys, "report", str(out)) == [f"{out}/report.html"]
    assert (out / "report.html").read_bytes() == (fineweb.output / "report.html").read_bytes()
    act(capsys, "report", str(out), "--language", "ko")
    assert '<html lang="ko"' in (out / "report.html").read_text(encoding="utf-8")


def test_plan_runs_nothing(
    sample: Sample, fineweb: Finished, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    settings = ["--set", "gopher_quality.min_words=40", "--set", "minhash.enabled=false"]
    inputs = ["--input", *sample.inputs.patterns, "--workers", "2", "--sample-pages", "40", *settings]
    lines = act(capsys, "plan", "fineweb", *inputs)
    assert lines[0].startswith("fineweb: FineWeb (arXiv 2406.17557)")
    assert any(line.startswith("gopher_quality language=") or "min_words=40" in line for line in lines)
    assert any(line.startswith("(minhash: off) ") for line in lines)
    assert any(re.fullmatch(r"4 files, 1\.\d MB, 4 tasks", line) for line in lines)
    assert "forecast from 40 sampled pages" in lines
    assert [line.split()[0] for line in lines[-5:]] == ["pages", "time", "memory", "disk", "cost"]
    assert "with 2 workers" in lines[-4]
    assert sorted(tmp_path.rglob("*")) == before


AMOUNTS = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 2_500_000: "2.5 MB", 7e9: "7.0 GB", 3.2e15: "3,200.0 TB"}


@pytest.mark.parametrize(("size", "words"), AMOUNTS.items())
def test_amount(size: float, words: str) -> None:
    assert amount(size) == words


def test_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = act(capsys, "sample", str(tmp_path / "crawl"), "--pages", "145", "--seed", "3")
    assert lines[0] == f"145 pages in {tmp_path}/crawl; run them with"
    assert lines[1].startswith("gristmill run fineweb --input '")
    assert len(read_truth(tmp_path / "crawl" / "truth.jsonl").pages) == 145


@pytest.mark.parametrize("command", ["sample", "demo"])
def test_too_small_a_sample(command: str, tmp_path: Path) -> None:
    args = cli.parser().parse_args([command, str(tmp_path / "x"), "--pages", "9"])
    with pytest.raises(InputsError, match=r"^--pages 9: a sample of 9 pages cannot hold every kind: ask for 143 "):
        cli.COMMANDS[command].main(args)
    assert not (tmp_path / "x").exists()


def test_models(fineweb: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """After a run, what it used is here."""
    lines = act(capsys, "models", "list")
    assert lines[0] == "name kind size here what"
    (lid,) = [line for line in lines if line.startswith("lid176 ")]
    assert " yes " in lid
    assert any(line.startswith("glotlid ") for line in lines)
    (verified,) = act(capsys, "models", "verify", "lid176")
    assert verified.split()[:2] == ["lid176", fineweb.manifest.files_used["lid176"]]


def test_a_damaged_model_is_verified_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRISTMILL_MODELS", str(tmp_path))
    (told,) = act(capsys, "models", "verify")
    assert told.startswith("none is here yet: ")
    (tmp_path / "lid.176.ftz").write_bytes(b"cut")
    lines = act(capsys, "models", "list")
    assert next(line.split()[:5] for line in lines if line.startswith("lid176 "))[4] == "damaged"
    assert cli.COMMANDS["models"].main(cli.parser().parse_args(["models", "verify"])) == Exit.MISSING
    assert f"wrong checksum of 'lid176' in '{tmp_path}/lid.176.ftz'" in capsys.readouterr().err


def test_a_sample_where_it_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "file/below"):
        with pytest.raises(
            WrongFolderError, match=rf"^'{tmp_path}/{folder}' can't be a folder: a part of it is a file$"
        ):
            make(tmp_path / folder, 150)
    with pytest.raises(InputsError, match="--pages 3: a sample of 3 pages cannot hold every kind"):
        make(tmp_path / "sample", 3)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.sample.write_sample", full)
    with pytest.raises(StorageError, match=rf"^no space left to write '{tmp_path}/sample': .*; free space and run"):
        make(tmp_path / "sample", 150)


def test_a_model_of_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.COMMANDS["models"].main(cli.parser().parse_args(["models", "fetch", "lid", "lid176"]))
    told = capsys.readouterr()
    assert code == Exit.MISSING
    assert "no model or list is called 'lid'" in told.err
    assert told.out.startswith("lid176 ")  # the others are fetched all the same


def test_run_as_a_process(tmp_path: Path) -> None:
    """Exit codes of a finished run, of a second recipe in its folder, and of a repetition."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(5)))
    (tmp_path / "mine.yaml").write_text("curation: {mine: {stages: [pii]}}")

    def command(*more: str) -> "subprocess.CompletedProcess[str]":
        args = ["run", "mine.yaml#mine", "--input", "a.jsonl", "--output", "out", "--workers", "1", *more]
        return subprocess.run(
            [sys.executable, "-P", "-m", "service", *args], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )

    first, again, other = command(), command(), command("--set", "pii.emails=[]")
    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 4), first.stderr + again.stderr
    assert "mine: 5 pages, 5 kept (100.0 %), 0 dropped" in first.stdout
    assert "mine: 5 pages, 5 kept (100.0 %), 0 dropped" in again.stdout
    assert "gristmill: 'out' holds another run's output (recipe: " in other.stderr
    assert len(other.stderr.splitlines()) == 1
    assert "Traceback" not in first.stderr
    assert [row["id"] for row in rows(tmp_path / "out" / "shards")] == [f"a.jsonl@{row * 19}" for row in range(5)]


def test_unknown_settings_stop_before_anything() -> None:
    args = ["plan", "fineweb", "--input", "no", "--set", "c4.colour=red"]
    with pytest.raises(RecipeError, match=r"^fineweb: c4.colour = 'red': no such parameter; it has "):
        cli.COMMANDS["plan"].main(cli.parser().parse_args(args))
