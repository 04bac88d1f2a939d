"""Ablations: intervals by hand, held-out text that is new to both arms, and a whole one on two small folders."""

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest

from schemas.training import TrainingSpec
from service.ablation import NULL_ORDER, T_975, Held, Interval, Outcome, ablate, hold_out
from tests.trainer import nano
from tests.trainer.curated import document, write
from tests.trainer.nano import Watch
from trainer.corpus import Corpus
from trainer.errors import ForeignError, TrainerError
from trainer.evaluate.bits_per_byte import Text


def text(words: str) -> Text:
    return Text(words, {})


def test_an_interval_by_hand() -> None:
    """Mean 3, standard deviation sqrt(2.5), t of four degrees of freedom 2.776."""
    found = Interval.of([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776 * math.sqrt(2.5) / math.sqrt(5)
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half))
    assert found.covers_zero is False
    assert Interval.of([-1.0, 1.0]).high == pytest.approx(12.706)
    assert Interval.of([-1.0, 1.0]).covers_zero is True
    assert Interval.of([0.5] * 40) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize("freedom", range(1, len(T_975) + 1))
def test_students_t(freedom: int) -> None:
    """The table against the density, summed up."""
    places = np.linspace(0, T_975[freedom - 1], 200_001)
    density = (1 + places**2 / freedom) ** (-(freedom + 1) / 2)
    scale = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    assert 2 * scale * np.trapezoid(density, places) == pytest.approx(0.95, abs=1e-4)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Prose; and the same with nine of ten documents replaced by noise."""
    top = tmp_path_factory.mktemp("arms")
    curated = nano.corpus(top / "curated", 60, first=100)
    random = np.random.default_rng(1)
    noise = ["".join(map(chr, random.integers(0x21, 0x7F, 500))) for _ in range(60)]
    rows = [document(n, noise[n] if n % 10 else nano.prose(n)) for n in range(60)]
    return {"curated": str(curated), "raw": str(write(top / "raw", [rows]))}


def test_held_out_text_is_new_to_both_arms(arms: dict[str, str]) -> None:
    """Whole copies, near duplicates and short copies go; so do copies among the held-out texts themselves."""
    corpora = {name: Corpus(folder) for name, folder in arms.items()}
    raw = next(corpora["raw"].rows(corpora["raw"].shards[0]))["text"].to_pylist()
    new = [text(nano.prose(7000 + n, words=200)) for n in range(3)]
    near = nano.prose(103).replace("grain", "bread", 1)
    known = [text(nano.prose(100)), text(f" {nano.prose(106)}\n"), text(near), text(raw[1])]
    held = hold_out([*new, *known, new[0]], corpora)
    assert held == Held(tuple(new), given=8, dropped=5)
    with pytest.raises(TrainerError, match="none of the 4 held-out texts is new: all are near duplicates"):
        hold_out(known, corpora)
    with pytest.raises(TrainerError, match="there is no held-out text: the file is empty"):
        hold_out([], corpora)


def smallest() -> TrainingSpec:
    """Some twelve steps."""
    stage = {**nano.spec().stages[0].model_dump(by_alias=True), "tokens": 3000, "seq_len": 16}
    return nano.spec(stages=[stage], checkpoint_every=1.0, held_out=0.05)


def run(arms: dict[str, str], output: Path, watch: Watch, seeds: int = 5) -> Outcome:
    texts = [text(nano.prose(5000 + n)) for n in range(8)]
    return ablate("smallest", smallest(), arms, texts, output, watch, seeds, segments=str(output.parent / "segments"))


def decisive(folder: Path) -> dict[str, dict[str, object]]:
    run = json.loads((folder / "run.json").read_bytes())
    return {**run["decisive"], "segments": run["segments"]}


def test_a_whole_ablation(arms: dict[str, str], tmp_path: Path) -> None:
    output, watch = tmp_path / "out", Watch()
    found = run(arms, output, watch)
    assert {name: len(losses) for name, losses in found.losses.items()} == {"curated": 5, "raw": 5, "null": 5}
    pairs = zip(found.losses["curated"], found.losses["raw"], strict=True)
    differences = [ours - theirs for ours, theirs in pairs]
    half = 2.776 * np.std(differences, ddof=1) / math.sqrt(5)
    assert found.difference.mean == pytest.approx(np.mean(differences))
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (np.mean(differences) - half, np.mean(differences) + half)
    )
    assert found.difference.high < 0  # noise teaches nothing of prose
    assert found.null.covers_zero
    assert found.verdict == f"curated is better by {-found.difference.mean:.4f} bits per byte"
    assert set(found.epochs) == {"curated", "raw"}
    assert all(0 < epochs < 1 for epochs in found.epochs.values())
    told = json.loads((output / "ablation.json").read_bytes())
    assert told["held_out"] == {"given": 8, "dropped": 0, "texts": 8}
    assert told["losses"] == {name: list(losses) for name, losses in found.losses.items()}

    # all have one tokenizer; the null arm differs from the curated one in its data's order alone
    folders = [output / f"{arm}-{seed}" for arm in ("curated", "raw", "null") for seed in range(5)]
    assert len({str(decisive(folder)["tokenizer"]) for folder in folders}) == 1
    for seed in range(5):
        curated, raw, null = (decisive(output / f"{arm}-{seed}") for arm in ("curated", "raw", "null"))
        assert curated["recipe"] == raw["recipe"]
        assert curated["segments"] == null["segments"] != raw["segments"]
        assert null["recipe"] == {**curated["recipe"], "data_seed": seed + NULL_ORDER}
        assert curated["recipe"]["seed"] == curated["recipe"]["data_seed"] == seed
    targets = {nano.lines(folder / "metrics.jsonl")[-1]["tokens"] // 1000 for folder in folders}
    assert targets == {3}  # 3,000, and the rest of a document

    # the same call finds all of it finished
    again = Watch()
    assert run(arms, output, again) == found
    assert again.rows == []

    # more seeds: only the new one's are trained
    more = run(arms, output, again, seeds=6)
    assert [row.step for row in again.rows].count(1) == 3
    assert {name: losses[:5] for name, losses in more.losses.items()} == found.losses

    with pytest.raises(ForeignError, match="was begun with other curated data than"):
        run({"curated": arms["raw"], "raw": arms["curated"]}, output, again)


def test_stopped(arms: dict[str, str], tmp_path: Path) -> None:
    watch = Watch(lambda row: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(arms, tmp_path / "out", watch)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] in (
        ["tokenizer", "curated-0"],
        ["curated-0", "tokenizer"],
    )
    assert not (tmp_path / "out/ablation.json").exists()


def test_verdicts() -> None:
    def verdict(difference: Interval, null: Interval) -> str:
        return Outcome(
            recipe="r", targets=1, held_out=Held((), 1, 0), losses={}, epochs={}, difference=difference, null=null
        ).verdict

    around = Interval(0.0, -0.1, 0.1)
    assert verdict(Interval(0.2, 0.1, 0.3), around) == "raw is better by 0.2000 bits per byte"
    assert verdict(Interval(-0.2, -0.3, -0.1), around) == "curated is better by 0.2000 bits per byte"
    assert verdict(around, around) == "no effect at this scale"
    assert verdict(around, Interval(0.2, 0.1, 0.3)).startswith("the null arm differs from itself")


def test_what_can_not_be_compared(arms: dict[str, str], tmp_path: Path) -> None:
    chat = {"kind": "chat", "generate": "arithmetic"}
    by_epochs = {**smallest().stages[0].model_dump(by_alias=True), "tokens": None, "epochs": 1}
    cases = [
        (smallest(), 4, "4 seeds make no interval worth having; take 5 or more"),
        (nano.spec(sources={"web": chat}), 5, r"smallest reads sources \['web'\]; ablations compare one source of"),
        (nano.spec(data_seed=3), 5, "smallest sets data_seed 3; its seeds order an ablation's data: set seed"),
        (nano.spec(stages=[by_epochs]), 5, "smallest counts epochs; arms are to see equally many targets"),
    ]
    for one, seeds, words in cases:
        with pytest.raises(TrainerError, match=words):
            ablate("smallest", one, arms, [text("new")], tmp_path / "out", Watch(), seeds=seeds)
    assert not (tmp_path / "out").exists()
