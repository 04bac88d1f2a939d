"""`gristmill eval`: what it measures, beside transformers on the export and beside the run itself."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from service.exits import Exit
from tests.service.obeyed import Gristmill
from tests.trainer import nano
from tests.trainer.nano import Made
from trainer.evaluate.needle import needle, shortest_row
from trainer.trained import open_trained


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
    assert [line["choices"][count] for count in ("questions", "shortened", "too_long")] == [4, 0, 0]
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


def test_names_of_groups_steer_no_terminal(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    """The line is JSON, and languages are what they are."""
    names = ["한국어", "\x9b2J", "\u202eok"]
    rows = [{"text": "The mat.", "language": name} for name in names]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = gristmill("eval", tiny.output, "--texts", tmp_path / "t.jsonl", "--by", "language")
    assert set(done.line["language"]) == set(names)
    assert '"한국어"' in done.out
    assert '"\\u009b2J"' in done.out
    assert '"\\u202eok"' in done.out


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


def test_questions_that_can_not_be_asked_are_counted(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "a", "choices": ["b", "c " * 99], "answer": 0}) + "\n")
    told = gristmill("eval", tiny.output, "--choices", tmp_path / "q.jsonl").line["choices"]
    assert told == {"questions": 0, "accuracy": None, "interval_95": [0, 1], "shortened": 0, "too_long": 1}


def test_eval_of_nothing_is_null(gristmill: Gristmill, tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": ""}\n')
    line = gristmill("eval", tiny.output, "--texts", tmp_path / "t.jsonl").line
    assert line == {"loss": None, "targets": 0, "bits_per_byte": None, "texts": 1}


def test_eval_reads_what_was_trained_with_it(tiny: Made) -> None:
    """The checkpoint carries the shape that stages gave the model."""
    assert open_trained(tiny.output).decoder.spec.context == max(row["seq_len"] for row in tiny.rows)
