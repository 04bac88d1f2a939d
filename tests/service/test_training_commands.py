"""The trainer's commands as users give them: what they print, what they refuse, their exit codes."""

import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml

from schemas.chat import Message
from schemas.training import TrainingSpec
from service import cli
from service.ablation import Held, Interval, Outcome
from service.exits import Exit
from service.watch import Watch
from tests.trainer import nano
from tests.trainer.nano import Made
from trainer.evaluate.needle import needle, shortest_row
from trainer.speak import Piece, Speaker
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.trained import open_trained

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> dict[str, Any]:
        """The one JSON line."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


Gristmill = Callable[..., Done]


@pytest.fixture
def gristmill(capfd: pytest.CaptureFixture[str]) -> Gristmill:
    """The command in this process."""

    def run(*args: object) -> Done:
        code = cli.obey([str(arg) for arg in args])
        told = capfd.readouterr()
        return Done(code, told.out, told.err)

    return run


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smallest recipe in a file of one's own."""
    path = tmp_path_factory.mktemp("recipes") / "mine.yaml"
    entry = nano.spec().model_dump(mode="json", by_alias=True, exclude_unset=True)
    path.write_text(yaml.safe_dump({"training": {"tiny": entry}}))
    return f"{path}#tiny"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that no run has seen, some longer than any context, one empty."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [
        {
            "text": nano.prose(9000 + n, "ko" if n % 2 else "en"),
            "language": "ko" if n % 2 else "en",
            "url": f"https://h{n}/",
        }
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": ""}, {"text": "<|endoftext|> a"}]))
    return path


def test_train(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = gristmill("train", mine, "--data", tiny.data, "--output", output, "--segments", tiny.segments)
    assert done.code == Exit.OK
    assert done.out == f"open    file://{output}/report.html\n"
    assert "first: step 1 · loss " in done.err
    assert "note: gate of second: open; all that is asked holds\n" in done.err
    rows = nano.lines(output / "metrics.jsonl")
    assert nano.losses(rows) == nano.losses(tiny.rows)


def test_stopped_and_gone_on_with(
    gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", mine, "--data", tiny.data, "--output", tmp_path / "out", "--segments", tiny.segments)
    told = Watch.row

    def row(self: Watch, *args: Any) -> None:
        told(self, *args)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "row", row)
        done = gristmill(*command)
    assert (done.code, done.out) == (Exit.INTERRUPTED, "")
    assert done.err.endswith("note: stopped; the checkpoint stands, the same command goes on\n")
    assert gristmill(*command).code == Exit.OK
    assert nano.losses(nano.lines(tmp_path / "out/metrics.jsonl")) == nano.losses(tiny.rows)


def test_dry_run(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path) -> None:
    done = gristmill("train", mine, "--data", tiny.data, "--dry-run", "--segments", tmp_path / "s")
    assert done.code == Exit.OK
    head, first, second, _, _, *passes = (line.split() for line in done.out.splitlines())
    assert head[:3] == ["stage", "steps", "targets"]
    assert [first[0], second[0]] == ["first", "second"]
    by_stage = [row["stage"] for row in tiny.rows]
    assert [int(first[1]), int(second[1])] == [by_stage.count("first"), by_stage.count("second")]
    assert [line[:2] for line in passes] == [["first:", "web"], ["second:", "web"]]
    assert all(0 < float(line[2]) < 1 for line in passes)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_an_estimate_from_a_model(gristmill: Gristmill, tiny: Made) -> None:
    """Its shape is the one that is estimated, and must be the recipe's where that has one."""
    done = gristmill("train", "sft-dpo-nano", "--init", tiny.output, "--estimate")
    counts = open_trained(tiny.output).decoder.shape.parameters
    assert done.code == Exit.OK
    assert done.out.splitlines()[0].split()[:2] == ["parameters", f"{counts.total:,}:"]
    done = gristmill("train", "gpt2-nano", "--init", tiny.output, "--estimate")
    assert done.code == Exit.USAGE
    assert "model.family is 'gpt2' in the recipe, the model to start from has 'llama'" in done.err


def test_dry_run_of_preferences(gristmill: Gristmill, nano_run: Callable[[str], Made], tiny: Made) -> None:
    """From a model, whose tokenizer counts."""
    init = nano_run("llama3.1-nano").output
    done = gristmill("train", "sft-dpo-nano", "--init", init, "--dry-run", "--segments", tiny.segments)
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[0] for row in rows[:3]] == ["stage", "sft", "dpo"]
    assert rows[1][3] == "2,000"  # two passes over 1,000 conversations
    assert (rows[2][1], *rows[2][3:6]) == ("19", "600", "0", "0")  # 300 pairs, 16 a step
    assert int(rows[2][2].replace(",", "")) > 600
    assert rows[-2:] == [["sft:", "chats", "2"], ["dpo:", "pairs", "1"]]


@pytest.mark.parametrize("name", ["gpt2-nano", "llama3.1-nano", "qwen2-nano"])
def test_eval_is_what_transformers_gives(
    gristmill: Gristmill, nano_run: Callable[[str], Made], texts: Path, tmp_path: Path, name: str
) -> None:
    """On the export, text for text, each cut to the context; for both kinds of weights where there are two."""
    made, told = nano_run(name), {}
    for weights in ("average", "raw"):
        done = gristmill("export", made.output, "--format", "hf", "--output", tmp_path / weights, "--weights", weights)
        assert (done.code, done.out) == (Exit.OK, f"wrote   {tmp_path / weights}\n")
        done = gristmill("eval", made.output, "--texts", texts, "--weights", weights)
        assert done.code == Exit.OK
        assert list(done.line) == ["loss", "targets", "bits_per_byte", "texts"]
        loss, targets = by_transformers(tmp_path / weights, texts)
        assert done.line["targets"] == targets > 100
        assert done.line["loss"] == pytest.approx(loss, abs=1e-5)
        told[weights] = done.line["loss"]
        exported = gristmill("eval", tmp_path / weights, "--texts", texts)
        assert exported.line == pytest.approx(done.line)
    assert (told["average"] != told["raw"]) is (name == "llama3.1-nano")
    assert told["average"] < made.rows[0]["loss"] - 1


def by_transformers(folder: Path, texts: Path) -> tuple[float, int]:
    """Nats a target and targets, read by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats, targets = 0.0, 0
    for row in nano.lines(texts):
        ids = tokenizer(row["text"])["input_ids"][: model.config.max_position_embeddings]
        if len(ids) > 1:
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            nats -= logits.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
            targets += len(ids) - 1
    return nats / targets, targets


def test_eval_by_group_and_choices(gristmill: Gristmill, tiny: Made, texts: Path, tmp_path: Path) -> None:
    choices = tmp_path / "choices.jsonl"
    rows = [{"question": f"{n} and", "choices": ["water", "wheel"], "answer": n % 2} for n in range(5)]
    choices.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("eval", tiny.output, "--texts", texts, "--by", "language", "--by", "domain")
    line = gristmill(*command, "--choices", choices, "--shots", 1).line
    assert (line["texts"], set(line["language"]), len(line["domain"])) == (8, {"en", "ko"}, 6)
    assert sum(line["domain"][f"h{n}"]["targets"] for n in range(6)) == 6 * 31
    assert line["choices"]["questions"] == 4
    low, high = line["choices"]["interval_95"]
    assert 0 <= low <= line["choices"]["accuracy"] <= high <= 1
    done = gristmill(*command, "--choices", choices, "--shots", 5)
    assert (done.code, done.err) == (Exit.USAGE, "gristmill: --shots 5 leaves nothing to ask of the 5 questions\n")


def test_eval_on_what_was_held_out(gristmill: Gristmill, tiny: Made) -> None:
    """Of a curated folder; as the run itself measured it, but for the token that ends a document."""
    line = gristmill("eval", tiny.output, "--texts", tiny.data, "--held-out", 0.1).line
    assert 10 < line["texts"] < 40
    assert line["loss"] == pytest.approx(tiny.summary["held_out"]["second"]["loss"], rel=0.02)
    assert gristmill("eval", tiny.output, "--texts", tiny.data).line["texts"] == 200


def test_eval_looks_for_needles(gristmill: Gristmill, tiny: Made, texts: Path) -> None:
    trained = open_trained(tiny.output)
    own, least = trained.tokenizer, shortest_row(trained.tokenizer)
    hay = np.concatenate(own.encode_documents([row["text"] for row in nano.lines(texts) if row["text"]]))[: 4 * 32]
    line = gristmill("eval", tiny.output, "--texts", texts, "--needle", 32, "--needle", least).line
    assert list(line) == ["loss", "targets", "bits_per_byte", "texts", "needle"]
    assert line["needle"] == {str(length): needle(trained.decoder, own, hay, length) for length in (32, least)}


def test_eval_without_texts(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    choices = tmp_path / "choices.jsonl"
    choices.write_text('{"question": "a", "choices": ["b", "c"], "answer": 0}\n')
    assert list(gristmill("eval", tiny.output, "--choices", choices).line) == ["choices"]


def test_eval_of_nothing_is_null(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": ""}\n')
    line = gristmill("eval", tiny.output, "--texts", tmp_path / "t.jsonl").line
    assert line == {"loss": None, "targets": 0, "bits_per_byte": None, "texts": 1}


def test_chat(gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to what is asked, or to lines that are piped in; a base model goes on with a text."""
    base = gristmill("chat", tiny.output, "--base", "--ask", "The miller", "--ask", "물이", "--max-tokens", 5)
    assert base.code == Exit.OK
    assert base.out.count("\n") >= 2
    again = gristmill("chat", tiny.output, "--base", "--ask", "The miller", "--max-tokens", 5)
    assert base.out.startswith(again.out)
    monkeypatch.setattr("sys.stdin", io.StringIO("The miller\n\nnever asked\n"))
    assert gristmill("chat", tiny.output, "--base", "--max-tokens", 5).out == again.out
    asked = gristmill(
        "chat", tiny.output, "--system", "s", "--ask", "a", "--max-tokens", 3, "--temperature", 1, "--seed", 4
    )
    assert (asked.code, asked.out.count("\n") >= 1) == (Exit.OK, True)


def test_bytes_that_are_no_text_are_asked_as_replacements(
    gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line, in a system prompt and in a pipe, whatever the locale does with them."""
    heard: list[str] = []
    monkeypatch.setattr("trainer.speak.Speaker.goes_on", lambda self, text: heard.append(text) or iter(["said"]))
    bad, whole = "a\udcff\udcfeb", "a\ufffd\ufffdb"
    assert gristmill("chat", tiny.output, "--base", "--ask", bad).out == "said\n"
    for errors in ("strict", "surrogateescape"):
        piped = io.TextIOWrapper(io.BytesIO(b"a\xff\xfeb\nnext\n"), encoding="utf-8", errors=errors)
        monkeypatch.setattr("sys.stdin", piped)
        assert gristmill("chat", tiny.output, "--base").out == "said\nsaid\n"
    assert heard == [whole, whole, "next", whole, "next"]

    def turn(speaker: Speaker, messages: list[Message]) -> Iterator[Piece]:
        heard[:] = [message.content for message in messages]
        return iter([Piece("said", False)])

    monkeypatch.setattr("trainer.speak.Speaker.turn", turn)
    assert gristmill("chat", tiny.output, "--system", bad, "--ask", bad).out == "said\n"
    assert heard == [whole, whole]


def test_export_replaces_a_former_one_alone(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    for _ in range(2):
        assert gristmill("export", tiny.output, "--output", tmp_path / "hf").code == Exit.OK
    for folder, found in (
        (tiny.data, "manifest.json"),
        (tiny.output, "_SUCCESS"),
        (tiny.output / "tokenizer", "tokenizer.json"),
    ):
        before = sorted(path.name for path in folder.iterdir())
        done = gristmill("export", tiny.output, "--output", folder)
        assert (done.code, done.err.count("\n")) == (Exit.FOREIGN, 1)
        assert f"{str(folder)!r} holds {found!r}" in done.err
        assert sorted(path.name for path in folder.iterdir()) == before


def test_what_a_model_says_steers_no_terminal(
    gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.speak.Speaker.goes_on", lambda self, text: iter(["a\x1b[31m\n", "\n\u202eb"]))
    done = gristmill("chat", tiny.output, "--base", "--ask", "x")
    assert done.out == "a\\x1b[31m\n\n\\u202eb\n"


def test_reasoning_is_told_on_stderr(gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[Message]] = []

    def turn(speaker: Speaker, messages: list[Message]) -> Iterator[Piece]:
        heard.append(list(messages))
        return iter([Piece("h\x1b", True), Piece("m", True), Piece("ye", False), Piece("s", False)])

    monkeypatch.setattr("trainer.speak.Speaker.turn", turn)
    done = gristmill("chat", tiny.output, "--ask", "x", "--ask", "y")
    assert done.out == "yes\nyes\n"
    assert "reasoning: h\\x1bm\nreasoning: h\\x1bm\n" in done.err
    assert heard[1][1] == Message(role="assistant", content="yes", reasoning_content="h\x1bm")


def test_tokenizer(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    done = gristmill("tokenizer", "train", "--data", tiny.data, "--vocab-size", "0.4k", "--output", tmp_path / "t")
    made = Tokenizer.load(tmp_path / "t")
    assert done.code == Exit.OK
    assert done.out == f"wrote   {tmp_path}/t/tokenizer.json  400 ids, sha256 {made.sha256}\n"
    done = gristmill("tokenizer", "report", tmp_path / "t", "--data", tiny.data, "--json")
    assert {fit["language"] for fit in done.line["languages"]} == {"en", "ko"}
    table = gristmill("tokenizer", "report", tmp_path / "t/tokenizer.json", "--data", tiny.data, "--texts", 50)
    assert any(line.split()[:1] == ["ko"] for line in table.out.splitlines())


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


def test_ablate(gristmill: Gristmill, tiny: Made, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for, and how the outcome is told."""
    asked: dict[str, Any] = {}

    def ablate(
        recipe: str, spec: TrainingSpec, arms: Any, texts: Any, output: Path, watch: Any, **more: Any
    ) -> Outcome:
        asked.update(more, recipe=recipe, layers=spec.model and spec.model.layers, arms=arms, texts=list(texts))
        return Outcome(
            recipe=recipe,
            targets=10,
            held_out=Held(tuple(asked["texts"]), given=9, dropped=1),
            losses={"curated": (2.0, 2.5), "raw": (3.0, 3.0), "null": (2.0, 2.0)},
            passes={"curated": 1.5, "raw": 0.25},
            difference=Interval(-0.75, -1.0, -0.5),
            null=Interval(-0.25, -1.0, 0.5),
        )

    monkeypatch.setattr("service.ablation.ablate", ablate)
    command = ("--curated", "c", "--raw", "r", "--held-out", texts, "--output", tmp_path, "--set", "model.layers=3")
    done = gristmill("ablate", *command, "--seeds", 7)
    assert done.code == Exit.OK
    assert (asked["recipe"], asked["layers"], asked["seeds"]) == ("gpt2-nano", 3, 7)
    assert asked["arms"] == {"curated": "c", "raw": "r"}
    assert len(asked["texts"]) == 8
    assert [line.split() for line in done.out.splitlines()] == [
        ["arm", "bits", "per", "byte", "passes"],
        ["curated", "2.2500", "1.50"],
        ["raw", "3.0000", "0.25"],
        ["null", "2.0000", "1.50"],
        ["curated", "-", "raw", "-0.7500", "95", "%", "[-1.0000,", "-0.5000]"],
        ["null", "-", "curated", "-0.2500", "95", "%", "[-1.0000,", "+0.5000]"],
        ["held", "out:", "8", "texts", "of", "9,", "1", "near", "duplicates", "dropped"],
        ["curated", "is", "better", "by", "0.7500", "bits", "per", "byte"],
    ]


BAD: dict[str, tuple[str, Exit, str]] = {
    "recipe": ("train gpt3 --data {data} --output {out}", Exit.USAGE, "has no trainer recipe 'gpt3'; it has gpt2-124m"),
    "setting": ("train {mine} --set model.depth=3 --output {out}", Exit.USAGE, "model.depth = 3: Extra inputs are not"),
    "optimizer": (
        "train {mine} --data {data} --output {out} --set optimizer.betas=[1.5,2]",
        Exit.USAGE,
        "tiny: optimizer.betas.0 = 1.5: Input should be less than 1",
    ),
    "no_output": ("train {mine} --data {data}", Exit.USAGE, "--output DIR is missing"),
    "no_data": ("train {mine} --output {out}", Exit.USAGE, "source 'web' of the recipe has no data; give --data DIR"),
    "named": (
        "train {mine} --data web={data} --output {out}",
        Exit.USAGE,
        "source 'web' of the recipe has no data; it reads the data given without a name: --data DIR, not "
        "--data web=DIR (given: web=…)",
    ),
    "unused": ("train {mine} --data {data} --data a=b --output {out}", Exit.USAGE, "reads --data a=b; they read one"),
    "twice": (
        "train {mine} --data . --data .. --output {out}",
        Exit.USAGE,
        "data without a name stands twice",
    ),
    "nowhere": ("train {mine} --data {out} --output {out}", Exit.USAGE, "no manifest.json in "),
    "no_model": ("train sft-dpo-nano --output {out}", Exit.USAGE, "the recipe gives no model of its own"),
    "no_shape": (
        "train sft-dpo --estimate",
        Exit.USAGE,
        "no model of its own: say which to start from with --init DIR",
    ),
    "init": ("train sft-dpo-nano --init {data} --output {out}", Exit.USAGE, "holds no model: neither checkpoints/"),
    "shape": (
        "train {mine} --init {tiny} --set model.layers=2 --data {data} --output {out}",
        Exit.USAGE,
        "model.layers is 2 in the recipe, the model to start from has 1",
    ),
    "family": (
        "train {mine} --init {tiny} --set model.family=gpt2 --data {data} --output {out}",
        Exit.USAGE,
        "model.family is 'gpt2' in the recipe, the model to start from has 'llama'",
    ),
    "caps": (
        "train {mine} --data {data} --output {out} --set stages.first.tokens=9M",
        Exit.USAGE,
        "stage 'first' wants 9,000,000 targets of source 'web', which has",
    ),
    "vocabulary": (
        "train {mine} --data {data} --output {out} --set model.vocab_size=300",
        Exit.USAGE,
        "model.vocab_size is 300, the tokenizer's largest id 319; raise it to 320 at least",
    ),
    "not_finite": (
        "train {mine} --data {data} --output {out} --set stages.first.lr.from=1e9",
        Exit.FAILED,
        "_not_finite in 4 steps in a row, none of which moved the weights",
    ),
    "gate": (
        "train {mine} --data {data} --output {out} --set stages.second.gate.recovered=0.1",
        Exit.FAILED,
        "the gate behind stage 'second' stays shut: held-out loss",
    ),
    "device": ("train {mine} --data {data} --output {out} --device gpu", Exit.USAGE, "there is no device 'gpu'"),
    "foreign": (
        "train {mine} --data {data} --output {tiny} --set seed=5",
        Exit.FOREIGN,
        "recipe.seed = 0, this one has 5",
    ),
    "damaged": (
        "train {mine} --data {damaged} --output {out} --segments {out}-s",
        Exit.MISSING,
        "is not the file that",
    ),
    "no_answer": (
        "train sft-dpo --init {tiny} --data chats={chats} --data pairs={chats} --output {out}",
        Exit.USAGE,
        "chats.jsonl:1: no answer of an assistant",
    ),
    "eval": ("eval {data} --texts {chats}", Exit.USAGE, "holds no model"),
    "eval_texts": ("eval {tiny} --texts {chats}", Exit.USAGE, "chats.jsonl:1: 'text' is None, words were expected"),
    "eval_half": ("eval {tiny} --texts {half}", Exit.USAGE, "half.jsonl:2: half a surrogate pair, which is no text"),
    "eval_nothing": ("eval {tiny}", Exit.USAGE, "there is nothing to evaluate on; give --texts FILE"),
    "eval_needle": ("eval {tiny} --needle 32 --sums 1", Exit.USAGE, "read texts, and there are none; give --texts"),
    "eval_context": (
        "eval {tiny} --texts {chats} --needle 33",
        Exit.USAGE,
        "--needle 33 can't be: give a length from ",
    ),
    "export": ("export {out} --output {out}", Exit.USAGE, "holds no model"),
    "chat": ("chat {tiny} --base --ask {long}", Exit.USAGE, "the prompt takes "),
    "tokenize": ("tokenize {data} --tokenizer {out}.json", Exit.USAGE, "no tokenizer at "),
    "tokenize_a_file": (
        "tokenize {chats} --tokenizer {tiny}/tokenizer",
        Exit.USAGE,
        "chats.jsonl' is a file, the folder that a finished `gristmill run --output` wrote was expected; JSONL of",
    ),
    "train_on_a_file": (
        "train {mine} --data {chats} --output {out}",
        Exit.USAGE,
        "chats.jsonl' is a file, the folder ",
    ),
    "no_tokenizer": (
        "train {mine} --data {data} --tokenizer {chats} --output {out}",
        Exit.USAGE,
        "chats.jsonl' is no tokenizer.json: ",
    ),
    "tokenizer": ("tokenizer train --data {out} --output {out}", Exit.USAGE, "no manifest.json in "),
    "ablate": (
        "ablate --curated {data} --raw {data} --held-out {chats} --output {out} --seeds 4",
        Exit.USAGE,
        "4 seeds make no interval worth having; take 5 or more",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_told_in_a_line(gristmill: Gristmill, mine: str, tiny: Made, tmp_path: Path, case: str) -> None:
    command, code, words = BAD[case]
    (tmp_path / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "Hello?"}]}\n')
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud83d\\ude00"}\n{"text": "\\ud83d"}\n')
    shutil.copytree(tiny.data, tmp_path / "damaged")
    shard = next((tmp_path / "damaged/shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    places = {
        "mine": mine, "data": tiny.data, "tiny": tiny.output, "out": tmp_path / "out", "long": "water" * 99,
        "chats": tmp_path / "chats.jsonl", "damaged": tmp_path / "damaged", "half": tmp_path / "half.jsonl",
    }  # fmt: skip
    args = command.format(**places).split()
    if args[0] == "train" and "--segments" not in args:
        args += ["--segments", str(tiny.segments)]
    done = gristmill(*args)
    assert done.code == code
    last = done.err.splitlines()[-1]
    assert last.startswith("gristmill: ")
    assert words in last
    assert "Traceback" not in done.err
    begun = (tmp_path / "out/metrics.jsonl").exists()
    assert begun is (code == Exit.FAILED)


@pytest.mark.parametrize("name", ["train", "eval", "export", "chat", "ablate"])
def test_without_torch(
    gristmill: Gristmill, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments = {
        "train": (mine, "--output", tmp_path / "o"),
        "eval": ("m", "--texts", "t"),
        "export": ("m", "--output", "o"),
        "chat": ("m",),
        "ablate": ("--curated", "a", "--raw", "b", "--held-out", "c", "--output", "o"),
    }
    monkeypatch.setattr("service.extras.find_spec", lambda name: None if name == "torch" else find_spec(name))
    done = gristmill(name, *arguments[name])
    assert (done.code, done.out) == (Exit.MISSING, "")
    assert done.err == "gristmill: training needs torch, which is not installed; pip install 'gristmill[trainer]'\n"


def test_the_command_and_its_help_need_no_torch() -> None:
    """Nor do tokenizers and segments."""
    code = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "safetensors"):
            sys.exit("somebody asks for " + name)
sys.meta_path.insert(0, Without())
import trainer.materials, trainer.segments.tokenize, trainer.tokenizer.report
from service.cli import main
main(["--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train a model on curated data" in done.stdout


def test_eval_reads_what_was_trained_with_it(tiny: Made) -> None:
    """The checkpoint carries the shape that stages gave the model."""
    assert open_trained(tiny.output).decoder.spec.context == max(row["seq_len"] for row in tiny.rows)
