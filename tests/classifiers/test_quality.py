"""Quality: models trained here and now, scored, judged and measured."""

import dataclasses
import gzip
import hashlib
import json
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from classifiers import train as training
from classifiers.evaluate import THRESHOLDS, Evaluation, evaluate, measure
from classifiers.fasttext import ModelError, load, one_line
from classifiers.fit import FitError, NanError, fit
from classifiers.quality import Quality
from classifiers.texts import TextsError, texts
from classifiers.train import Options, OptionsError, Training, train
from schemas.records import Document, Verdict
from storage.errors import MissingError

GOOD_WORDS = re.findall(r"\w+", "river mill stone wheel grain harvest winter history parish builder careful measure")
BAD_WORDS = re.findall(r"\w+", "click buy now cheap free offer casino bonus winner sale subscribe deal")
SHARED_WORDS = re.findall(r"\w+", "the of and to in a is that for it with as was on")
SMALL = Options(dim=8, epochs=8, buckets=1000, min_count=1, held_out=0.2)


def sentences(words: list[str], count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["\n".join(" ".join(rng.choices(words + SHARED_WORDS, k=9)) for _ in range(3)) for _ in range(count)]


def jsonl(path: Path, lines: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("sets")
    good, bad = sentences(GOOD_WORDS, 120, 1), sentences(BAD_WORDS, 150, 2)
    return jsonl(folder / "good.jsonl", [*good, good[0]]), jsonl(folder / "bad.jsonl", bad)


@pytest.fixture(scope="module")
def trained(sets: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train([sets[0]], [sets[1]], tmp_path_factory.mktemp("model") / "quality.bin", options=SMALL)


def test_training_tells_good_from_bad(trained: Training) -> None:
    found = trained.evaluation
    assert trained.positives + found.positives == 120
    assert trained.negatives + found.negatives == 150
    assert (trained.duplicates, trained.attempts, trained.options) == (1, 1, SMALL)
    assert found.positives > 10
    assert found.auc == found.accuracy == 1.0
    assert json.loads(json.dumps(dataclasses.asdict(trained)))["evaluation"]["f1"] == 1.0


def test_the_same_texts_give_the_same_bytes_in_any_order(
    sets: tuple[str, str], trained: Training, tmp_path: Path
) -> None:
    good = [json.loads(line)["text"] for line in Path(sets[0]).read_text().splitlines()]
    shuffled = jsonl(tmp_path / "good.jsonl", random.Random(3).sample(good, len(good)))
    again = train([shuffled], [sets[1]], tmp_path / "again.bin", options=SMALL)
    assert sha256(again.model) == sha256(trained.model)
    other = train([sets[0]], [sets[1]], tmp_path / "other.bin", options=SMALL, seed=1)
    assert sha256(other.model) != sha256(trained.model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.bin", "good.jsonl", "other.bin"]


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_scores_and_verdicts(trained: Training) -> None:
    stage = Quality(model=trained.model).setup({trained.model: Path(trained.model)})
    good, bad = (stage.annotate(Document(text=sentences(words, 1, 9)[0])) for words in (GOOD_WORDS, BAD_WORDS))
    assert good.quality_score is not None
    assert bad.quality_score is not None
    assert good.quality_score > 0.9 > 0.1 > bad.quality_score
    assert stage(bad) is None, "without min_score nothing is dropped"
    assert stage.annotate(Document(text="")).quality_score is not None
    same = Quality(model=trained.model, label="__label__hq").setup({trained.model: Path(trained.model)})
    assert same.annotate(Document(text=good.text)).quality_score == good.quality_score


CASES = {"below": (0.49, Verdict("low_quality", 0.49, 0.5)), "at": (0.5, None), "above": (0.51, None)}


@pytest.mark.parametrize("case", CASES)
def test_thresholds(case: str) -> None:
    score, expected = CASES[case]
    assert Quality(model="m", min_score=0.5)(Document(text="x", quality_score=score)) == expected


def test_reasons_and_needs() -> None:
    assert {verdict.reason for _, verdict in CASES.values() if verdict} == set(Quality.reasons)
    assert (Quality(model="m").files(), Quality(model="m").libraries()) == (("m",), ("fasttext-numpy2-wheel",))


def test_an_unknown_label_is_named(trained: Training) -> None:
    with pytest.raises(ModelError, match="has no label 'good'; it has "):
        Quality(model="m", label="good").setup({"m": Path(trained.model)})


LINES = {
    "lines": ("a\nb\r\nc\u2028d", "a b c d"),
    "edges": ("  a \n", "a"),
    "label": ("x __label__hq y", "x __label_hq y"),
    "end": ("a </s> b", "a < /s> b"),
    "empty": ("", ""),
}


@pytest.mark.parametrize("case", LINES)
def test_one_line(case: str) -> None:
    text, expected = LINES[case]
    assert one_line(text) == expected


def test_fasttext_markup_in_texts_is_harmless(tmp_path: Path) -> None:
    """A text that holds a label or an end of line would else train another class, or end early."""
    bad = [f"__label__evil </s> {text}" for text in sentences(BAD_WORDS, 60, 2)]
    made = train(
        [jsonl(tmp_path / "g.jsonl", sentences(GOOD_WORDS, 60, 1))],
        [jsonl(tmp_path / "b.jsonl", bad)],
        tmp_path / "m.bin",
        options=SMALL,
    )
    assert sorted(load(Path(made.model)).labels) == ["hq", "lq"]
    assert made.evaluation.auc == 1.0


def test_nan_is_tried_again_at_a_lower_rate(
    sets: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At an absurd rate fastText itself meets NaN, which its process reports as such."""
    lines = tmp_path / "lines.txt"
    lines.write_text("__label__hq river mill\n__label__lq buy now\n" * 50)
    with pytest.raises(NanError, match="met NaN"):
        fit(lines, tmp_path / "m.bin", {"lr": 1e30, "dim": 4, "epoch": 5, "minCount": 1})
    made = train([sets[0]], [sets[1]], tmp_path / "m.bin", options=SMALL, learning_rate=0.5)
    assert made.attempts == 1
    rates: list[float] = []

    def runs_off_twice(lines: Path, model: Path, options: dict[str, float]) -> None:
        rates.append(options["lr"])
        if len(rates) <= 2:
            raise NanError("met NaN")
        fit(lines, model, options)

    monkeypatch.setattr(training, "fit", runs_off_twice)
    made = train([sets[0]], [sets[1]], tmp_path / "m.bin", options=SMALL)
    assert (rates, made.attempts, made.options.learning_rate) == ([0.5, 0.25, 0.125], 3, 0.125)


def test_a_failed_training_leaves_nothing(sets: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(FitError, match="NaN at every learning rate"):
        train([sets[0]], [sets[1]], tmp_path / "m.bin", options=SMALL, learning_rate=1e35)
    with pytest.raises(FitError, match="failed"):
        fit(tmp_path / "missing.txt", tmp_path / "m.bin", {})
    assert list(tmp_path.iterdir()) == []


def test_too_few_texts(sets: tuple[str, str], trained: Training, tmp_path: Path) -> None:
    one = jsonl(tmp_path / "one.jsonl", ["just one"])
    with pytest.raises(TextsError, match="positives: "):
        train([one], [sets[1]], tmp_path / "m.bin", options=SMALL)
    empty = jsonl(tmp_path / "empty.jsonl", ["", " "])
    with pytest.raises(TextsError, match="negatives: no text in"):
        evaluate(trained.model, [sets[0]], [empty])


@pytest.mark.parametrize("side", ["positives", "negatives"])
def test_a_missing_file_is_named_before_any_is_read(side: str, trained: Training, tmp_path: Path) -> None:
    broken, missing = jsonl(tmp_path / "empty.jsonl", []), str(tmp_path / "missing.jsonl")
    good, bad = (missing, broken) if side == "positives" else (broken, missing)
    with pytest.raises(MissingError, match=r"missing\.jsonl"):
        train([good], [bad], tmp_path / "new" / "m.bin")
    with pytest.raises(MissingError, match=r"missing\.jsonl"):
        evaluate(trained.model, [good], [bad])
    assert not (tmp_path / "new").exists()


OPTIONS = {
    "dim": ({"dim": 0}, "dim = 0"),
    "seed_below": ({"seed": -1}, "seed = -1: from 0 to 2147483647"),
    "seed_above": ({"seed": 1 << 31}, "seed = 2147483648"),
    "epochs": ({"epochs": 0}, "epochs = 0"),
    "held_out_none": ({"held_out": 0.0}, "held_out = 0.0"),
    "held_out_all": ({"held_out": 1.0}, "held_out = 1.0"),
    "rate": ({"learning_rate": 0.0}, "learning_rate = 0.0"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options(case: str) -> None:
    changes, words = OPTIONS[case]
    with pytest.raises(OptionsError, match=words):
        Options(**changes)  # type: ignore[arg-type]


def test_evaluate_a_model(sets: tuple[str, str], trained: Training) -> None:
    found = evaluate(trained.model, [sets[0]], [sets[1]])
    assert (found.positives, found.negatives, found.accuracy) == (121, 150, 1.0)
    assert tuple(row.min_score for row in found.thresholds) == THRESHOLDS
    turned = evaluate(trained.model, [sets[0]], [sets[1]], label="lq")
    assert turned.auc == 0.0


def test_figures() -> None:
    """By hand: four good texts, one of them at a half, against four others, one tie across."""
    found = measure(np.array([0.9, 0.8, 0.5, 0.2]), np.array([0.1, 0.2, 0.6, 0.3]))
    assert (found.accuracy, found.precision, found.recall, found.f1) == (6 / 8, 3 / 4, 3 / 4, 3 / 4)
    assert found.auc == (4 + 4 + 3 + 1.5) / 16
    rows = {row.min_score: row for row in found.thresholds}
    assert (rows[0.9].kept, rows[0.9].precision, rows[0.9].recall, rows[0.9].f1) == (1 / 8, 1.0, 1 / 4, 2 / 5)
    assert (rows[0.99].kept, rows[0.99].precision, rows[0.99].recall, rows[0.99].f1) == (0.0, 1.0, 0.0, 0.0)
    assert isinstance(found, Evaluation)


def test_texts_of_all_formats(tmp_path: Path) -> None:
    lines = b'{"text": "one", "x": 1}\n\n{"text": ""}\n{"text": "zw\\u00f6lf"}\n'
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(lines))
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["one", None, "zwölf"]}), tmp_path / "d.parquet")
    assert list(texts([str(tmp_path / "*.jsonl*"), str(tmp_path / "d.parquet")])) == ["one", "zwölf"] * 4


BROKEN = {
    "no_json": ("a.jsonl", b'{"text": "x"}\n<html>\n', r"a.jsonl' line 2: b'<html>"),
    "no_text": ("a.jsonl", b'{"txt": "x"}\n', "line 1"),
    "no_object": ("a.jsonl", b"[1]\n", "line 1"),
    "no_string": ("a.jsonl", b'{"text": 7}\n', "'text' is '7', not a string"),
    "no_gzip": ("a.jsonl.gz", b"plain", "can't be unpacked"),
    "cut_gzip": ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 99)[:-20], "can't be unpacked"),
    "no_zstd": ("a.jsonl.zst", b"plain", "can't be unpacked"),
    "no_parquet": ("a.parquet", b"plain", "is no Parquet file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_texts(case: str, tmp_path: Path) -> None:
    name, content, words = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextsError, match=words):
        list(texts([str(tmp_path / name)]))


def test_parquet_without_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(TextsError, match="has no column 'text'; it has body"):
        list(texts([str(tmp_path / "a.parquet")]))
