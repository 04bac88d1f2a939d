"""The training report: one file that says what came out, and asks for nothing."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.nano import Made
from trainer import report


class _Page(HTMLParser):
    """Tags, attributes and words."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def page(output: Path) -> _Page:
    return _Page((output / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    """An output to be changed."""
    names = ("run.json", "summary.json", "metrics.jsonl", "timing.jsonl")
    for name in names:
        shutil.copy(tiny.output / name, tmp_path / name)
    return tmp_path


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def test_what_came_out(tiny: Made) -> None:
    found, summary = page(tiny.output), tiny.summary
    assert found.text.startswith("tiny · training report")
    assert f"{summary['held_out']['second']['bits_per_byte']:.3f} bits per byte on held-out text" in found.text
    for what, number in (
        ("parameters", summary["parameters"]),
        ("targets", summary["targets"]),
        ("steps", summary["steps"]),
    ):
        assert f"{what} {number:,} " in found.text
    rows = tiny.rows
    first = [row for row in rows if row["stage"] == "first"]
    told = summary["held_out"]["first"]
    assert (
        f"first {len(first)} {first[-1]['tokens']:,} 16 → 24 {first[0]['loss']:.4f} {first[-1]['loss']:.4f} "
        f"{told['loss']:.4f} {told['bits_per_byte']:.4f}"
    ) in found.text
    data = summary["data"]["first"]
    assert data["targets"] == first[-1]["tokens"]
    web, padding = data["sources"]["web"], data["padding"] / data["positions"]
    assert (
        f"first web {web['targets']:,} {web['documents']:,} {web['epochs']:.3g} {data['split']:,} 0 {padding:.2%}"
    ) in found.text
    assert re.search(r"open ?: all that is asked holds", found.text)
    assert found.tags.count("path") >= 4  # loss, rate, speed, waiting
    run = json.loads((tiny.output / "run.json").read_bytes())
    assert run["decisive"]["tokenizer"] in found.text
    assert f"web in first {run['segments']['first']['web']}" in found.text
    assert "Not measured here: MFU" in found.text
    timing = [json.loads(line) for line in (tiny.output / "timing.jsonl").read_bytes().splitlines()]
    for what, key in (("longest wait for data", "data_wait_max"), ("longest first wait", "data_fill")):
        longest = max(row[key] for row in timing if row[key] is not None)
        told = f"{longest:,.1f} s" if longest >= 1 else f"{1000 * longest:,.1f} ms"
        assert f"{what} {told}" in found.text


def test_asks_for_nothing(tiny: Made) -> None:
    content = (tiny.output / "report.html").read_text(encoding="utf-8")
    found = page(tiny.output)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name in ("src", "href") or name.startswith("on")]
    assert re.findall(r"https?://|url\(|@import", content) == []


def test_hostile_names_are_words(copy: Path) -> None:
    run = json.loads((copy / "run.json").read_bytes())
    run["decisive"]["recipe"]["note"] = "</pre><script>alert(1)</script>"
    run["segments"] = {"first": {"<b>web": "<i>key"}}
    (copy / "run.json").write_text(json.dumps(run | {"name": "<script>alert(2)</script>"}))
    report.write(copy)
    found = page(copy)
    assert not {"script", "i"} & set(found.tags)
    assert "<script>alert(2)</script>" in found.text
    assert "<b>web" in found.text


def test_losses_that_are_none(copy: Path) -> None:
    """Nothing held out, a stage whose losses were never finite, steps that were passed over."""
    change(copy / "summary.json", held_out={}, gates={}, decisions=[
        {"step": 3, "stage": "first", "reason": "loss_not_finite", "loss": None, "norm": None, "applied": False},
    ])  # fmt: skip
    rows = [json.loads(line) for line in (copy / "metrics.jsonl").read_bytes().splitlines()]
    blind = [{**row, "loss": None if row["stage"] == "first" else row["loss"]} for row in rows]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in blind))
    report.write(copy)
    found = page(copy)
    assert f"{rows[-1]['loss']:.3f} nats a target at the end" in found.text
    assert "16 → 24 – – – –" in found.text
    assert "3 first loss_not_finite – – left as they were" in found.text
    assert "nan" not in found.text.split("The recipe in full")[0].lower().split()


@pytest.mark.parametrize("left", [0, 3])
def test_lost_rows_are_told(copy: Path, left: int) -> None:
    path, steps = copy / "metrics.jsonl", json.loads((copy / "summary.json").read_bytes())["steps"]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    report.write(copy)
    found = page(copy)
    assert f"metrics.jsonl has lost the rows of {steps - left} steps" in found.text
    assert "second – – – –" in found.text


def test_a_run_too_short_for_timing(copy: Path) -> None:
    (copy / "timing.jsonl").write_text("")
    report.write(copy)
    found = page(copy)
    assert "tokens a second –" in found.text
    assert "longest wait for data – longest first wait –" in found.text
    assert "Not measured here: Tokens a second, MFU, Data wait, p99, Queue depth, Control ratio." in found.text
