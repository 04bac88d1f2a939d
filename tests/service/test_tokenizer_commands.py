"""`gristmill tokenizer` and `gristmill tokenize`."""

import json
import shutil
from pathlib import Path

import pytest

from service.exits import Exit
from tests.service.obeyed import Gristmill
from tests.trainer.curated import document, write
from tests.trainer.nano import Made
from trainer.tokenizer.tokenizer import Tokenizer


def test_tokenizer(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    done = gristmill("tokenizer", "train", "--data", tiny.data, "--vocab-size", "0.4k", "--output", tmp_path / "t")
    made = Tokenizer.load(tmp_path / "t")
    assert done.code == Exit.OK
    assert done.out == f"wrote   {tmp_path}/t/tokenizer.json  400 ids, sha256 {made.sha256}\n"
    done = gristmill("tokenizer", "report", tmp_path / "t", "--data", tiny.data, "--json")
    assert {fit["language"] for fit in done.line["languages"]} == {"en", "ko"}
    table = gristmill("tokenizer", "report", tmp_path / "t/tokenizer.json", "--data", tiny.data, "--texts", 50)
    assert any(line.split()[:1] == ["ko"] for line in table.out.splitlines())


def test_a_report_steers_no_terminal(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    """Languages are a page's words where another tool wrote the shards; as JSON they stay what they are."""
    data = write(tmp_path / "out", [[document(0, "The mat.", language="\x9b2J"), document(1, "물", language="한국어")]])
    command = ("tokenizer", "report", tiny.output / "tokenizer", "--data", data)
    done = gristmill(*command, "--json")
    assert {fit["language"] for fit in done.line["languages"]} == {"\x9b2J", "한국어"}
    assert "\x9b" not in done.out + gristmill(*command).out
    assert "한국어" in done.out


@pytest.mark.parametrize(("size", "bound"), [("250000", "less than or equal to 200000"), ("10", "equal to 272")])
def test_sizes_no_vocabulary_has(
    gristmill: Gristmill, capfd: pytest.CaptureFixture[str], tmp_path: Path, size: str, bound: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        gristmill("tokenizer", "train", "--data", tmp_path, "--vocab-size", size, "--output", tmp_path / "t")
    last = capfd.readouterr().err.splitlines()[-1]
    assert caught.value.code == Exit.USAGE
    assert f"argument --vocab-size: {size} ids can't be: Input should be " in last
    assert last.endswith(bound)


def test_tokenize(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    """The folder that a training finds."""
    command = ("tokenize", tiny.data, "--tokenizer", tiny.output / "tokenizer/tokenizer.json", "--segments")
    line = gristmill(*command, tmp_path, "--workers", 1).line
    folder = Path(line["folder"])
    assert folder.parent == tmp_path
    assert folder.name == json.loads((tiny.output / "run.json").read_bytes())["segments"]["first"]["web"]
    assert (line["documents"], line["targets"]) == (200, line["tokens"] - 200)
    assert 1 < line["bytes_per_token"] < 5
    again = gristmill(*command, tiny.segments)
    assert again.line == {**line, "folder": str(tiny.segments / folder.name)}


def test_a_damaged_manifest_of_segments(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path) -> None:
    """Every command that would use it says so, until it is removed."""
    segments, tokenizer = tmp_path / "s", tiny.output / "tokenizer"
    shutil.copytree(tiny.segments, segments)
    tokenize = ("tokenize", tiny.data, "--tokenizer", tokenizer, "--segments", segments)
    train = ("train", mine, "--data", tiny.data, "--tokenizer", tokenizer, "--segments", segments)
    line, plan = gristmill(*tokenize).line, gristmill(*train, "--dry-run").out
    manifest = Path(line["folder"], "segments.json")
    told = manifest.read_text()
    manifest.write_text(told.replace('"targets": ', '"targets": 1', 1))
    for command in (tokenize, (*train, "--dry-run"), (*train, "--output", tmp_path / "out")):
        done = gristmill(*command)
        assert (done.code, done.out) == (Exit.MISSING, "")
        assert done.err.splitlines()[-1].startswith(f"gristmill: {str(manifest)!r} is damaged: it has sha256 ")
        assert "; remove it, and the same command makes it again" in done.err
    assert not (tmp_path / "out/metrics.jsonl").exists()
    manifest.unlink()
    assert gristmill(*tokenize).line == line
    assert manifest.read_text() == told
    assert gristmill(*train, "--dry-run").out == plan
