"""Data and sources matched, tokenizers trained on samples, segments gathered."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.training import SourceSpec, TrainingSpec
from tests.trainer import nano
from tests.trainer.curated import document, write
from trainer import arithmetic, materials
from trainer.errors import TrainerError
from trainer.tokenizer.special import EOS
from trainer.tokenizer.tokenizer import Tokenizer

CHAT = {"messages": [{"role": "user", "content": "물은?"}, {"role": "assistant", "content": "흐른다"}]}


def spec(**sources: dict[str, Any]) -> TrainingSpec:
    """A recipe of these sources, each with an equal part of the mix."""
    stage = {**nano.spec().stages[0].model_dump(by_alias=True), "mix": dict.fromkeys(sources, 1)}
    return nano.spec(sources=sources, stages=[stage])


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(nano.corpus(tmp_path_factory.mktemp("web") / "data", 90))


@pytest.fixture
def chats(tmp_path: Path) -> str:
    (tmp_path / "chats.jsonl").write_text(json.dumps(CHAT) + "\n")
    return str(tmp_path / "chats.jsonl")


TWO = {"general": {"data": "general"}, "code": {"data": "code"}}
MADE = {"sums": {"kind": "chat", "generate": "arithmetic", "documents": 20}}
UNMATCHED: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "missing": (TWO, {"general": "."}, r"source 'code' of the recipe has no data; give --data code=PATH \(given: gen"),
    "none": ({"web": {}}, {}, r"source 'web' of the recipe has no data; give --data DIR \(given: none\)"),
    "named": (
        {"web": {}},
        {"web": "."},
        r"source 'web' of the recipe has no data; it reads the data given without a name: --data DIR, not --data "
        r"web=DIR \(given: web=…\)$",
    ),
    "named_by_others": ({"web": {}, **TWO}, {"general": ".", "code": "."}, r"no data; give --data DIR \(given: gen"),
    "unnamed": (TWO, {"": "."}, r"source 'general' of the recipe has no data; .* \(given: one without a name\)"),
    "unused": ({"web": {}}, {"": "a", "code": "b"}, r"no source of the recipe reads --data code=b; they read one with"),
    "generated": (MADE, {"": "a"}, r"no source of the recipe reads --data a; none reads any: what they learn is gen"),
    "no_folder": ({"web": {}}, {"": "nowhere"}, r"no manifest\.json in 'nowhere'"),
}


@pytest.mark.parametrize("case", UNMATCHED)
def test_data_and_sources_that_do_not_meet(case: str) -> None:
    sources, data, words = UNMATCHED[case]
    with pytest.raises(TrainerError, match=words):
        materials.check(spec(**sources), data)


def test_data_and_sources_that_meet(web: str, chats: str, tmp_path: Path) -> None:
    materials.check(spec(a={}, b={"share": [0.5, 1]}, c={"data": "c", "kind": "chat"}, **MADE), {"": web, "c": chats})
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").touch()
    with pytest.raises(TrainerError, match=r"empty' holds no file that ends with \.jsonl"):
        materials.check(spec(c={"data": "c", "kind": "chat"}), {"c": str(tmp_path / "empty")})


def test_a_sample_by_hash(web: str) -> None:
    """About as many as asked, languages with them, other ones for another seed, all where all are wanted."""
    rows = list(materials.sample_rows(web, 30, seed=1))
    assert 15 < len(rows) < 50
    assert {language for language, _ in rows} == {"en", "ko"}
    assert list(materials.sample_rows(web, 30, seed=1)) == rows
    assert set(materials.sample_rows(web, 30, seed=2)) != set(rows)
    assert len(list(materials.sample_rows(web, 1000, seed=1))) == 90
    texts = {nano.prose(n, "ko" if n % 3 == 2 else "en") for n in range(90)}
    assert {text for _, text in rows} < texts


def test_a_sample_reads_no_more_shards_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materials, "ROWS_PER_TEXT", 2)
    shards = [[document(100 * part + n, f"{part} {n}") for n in range(50)] for part in range(6)]
    folder = str(write(tmp_path / "data", shards))
    rows = list(materials.sample_rows(folder, 50, seed=3))
    assert len({text.split()[0] for _, text in rows}) == 2
    assert 30 < len(rows) < 70


def test_texts_of_every_kind(web: str, chats: str, tmp_path: Path) -> None:
    better = {"role": "assistant", "content": "좋은 답", "thinking": "음"}
    pair = {"prompt": "더하면?", "chosen": [better], "rejected": "나쁜 답"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    one = spec(
        web={}, other={"where": "language = 'ko'"}, chats={"data": "c", "kind": "chat"},
        pairs={"data": "p", "kind": "preference"}, **MADE,
    )  # fmt: skip
    found = list(materials.sample_texts(one, {"": web, "c": chats, "p": str(tmp_path / "pairs.jsonl")}))
    assert "물은?\n흐른다" in found
    assert "더하면?\n음\n좋은 답\n나쁜 답" in found
    first = arithmetic.conversations(20, one.seed)[0]
    assert "\n".join(message.content for message in first.messages) in found
    assert sum(text.count("\n") > 0 for text in found) == 2 + 15  # a quarter of 60 each of four data sets
    tokenizer = materials.trained_tokenizer(one, {"": web, "c": chats, "p": str(tmp_path / "pairs.jsonl")})
    assert tokenizer.largest_id == 319


def test_folders_are_shared_by_sources(web: str, tmp_path: Path) -> None:
    """Two shares of one folder are one folder of segments; other masks make another."""
    one = spec(a={"share": [0, 0.5]}, b={"share": [0.5, 1]}, s=MADE["sums"], t={**MADE["sums"], "answers_only": False})
    tokenizer = materials.trained_tokenizer(one, {"": web})
    told: list[int] = []
    made = materials.gather(one, {"": web}, tokenizer, str(tmp_path), lambda progress: told.append(progress.tokens))
    assert made.folders == {"a": 0, "b": 0, "s": 1, "t": 2}
    assert len(set(made.keys.values())) == 3
    assert [folder.manifest.kind for folder in made.library.folders] == ["text", "chat", "chat"]
    assert [made.library.has_mask(made.library.number(n, 0)) for n in range(3)] == [False, True, False]
    assert told[-1] > 0
    again = materials.gather(one, {"": web}, tokenizer, str(tmp_path), lambda _: pytest.fail("all is there"))
    assert again.keys == made.keys


def test_preferences_are_learnt_as_answers_alone(tmp_path: Path) -> None:
    source = {"kind": "preference", "generate": "arithmetic", "documents": 10, "answers_only": False}
    one = spec(pairs=source)
    made = materials.gather(one, {}, materials.trained_tokenizer(one, {}), str(tmp_path))
    assert SourceSpec.model_validate(source).answers_only is False
    assert made.library.has_mask(0)


def test_a_tokenizer_that_is_kept(tmp_path: Path) -> None:
    """Made once; what a killed process left half written counts for nothing."""
    (tmp_path / ".tokenizer").mkdir()
    (tmp_path / ".tokenizer/tokenizer.json").write_text("{")
    made: list[Tokenizer] = []

    def make() -> Tokenizer:
        made.append(materials.trained_tokenizer(spec(**MADE), {}))
        return made[-1]

    for _ in range(2):
        assert materials.kept_tokenizer(tmp_path / "tokenizer", make).sha256 == made[0].sha256
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_generated_texts_are_documents_of_which_none_is_held_out(tmp_path: Path) -> None:
    source = {"generate": "arithmetic", "documents": 300, "below": 10}
    one = spec(sums=source)
    materials.check(one, {})
    tokenizer = materials.trained_tokenizer(one, {})
    made = materials.gather(one, {}, tokenizer, str(tmp_path))
    starts, texts = made.library.starts(0), arithmetic.texts(300, one.seed, below=10)
    read = [made.library.read(0, "tokens", first, last) for first, last in itertools.pairwise(starts.tolist())]
    assert [tokenizer.decode(ids.tolist()) for ids in read] == [f"{text}{EOS}" for text in texts]
    assert (made.library.folders[0].manifest.kind, made.library.has_mask(0)) == ("text", False)
    assert not SourceSpec.model_validate(source).holds_out
    assert SourceSpec().holds_out
