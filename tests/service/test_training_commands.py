"""The trainer's commands as users give them: what they refuse, their exit codes, and how an outcome is told."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from schemas.training import TrainingSpec
from service.ablation import Held, Interval, Outcome
from service.exits import Exit
from tests.service.obeyed import Gristmill
from tests.trainer.nano import Made
from trainer.errors import TrainerError

ROOT = Path(__file__).parents[2]


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
            epochs={"curated": 1.5, "raw": 0.25},
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
        ["arm", "bits", "per", "byte", "epochs"],
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
    "eval_share": ("eval {tiny} --held-out 0.5 --sums 1", Exit.USAGE, "read texts, and there are none; give --texts"),
    "eval_share_of_a_file": (
        "eval {tiny} --texts {chats} --held-out 0.5",
        Exit.USAGE,
        "held_out 0.5 takes a share of a curated folder, and ",
    ),
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


@pytest.mark.parametrize(
    ("command", "device"),
    [
        ("eval {} --sums 1", ""),
        ("eval {} --sums 1 --device cpu", "cpu"),
        ("chat {} --ask a", ""),
        ("chat {} --ask a --device cuda:1", "cuda:1"),
        ("export {} --output o", "cpu"),
    ],
)
def test_where_a_model_computes(
    gristmill: Gristmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, device: str
) -> None:
    """A GPU where there is one, as in training; exporting computes nothing."""
    found: list[str] = []

    def opened(path: Path, *, device: str, **options: object) -> None:
        found.append(device)
        raise TrainerError("opened")

    monkeypatch.setattr("trainer.trained.open_trained", opened)
    assert gristmill(*command.format(tmp_path).split()).err == "gristmill: opened\n"
    assert found == [device]


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
