"""Data and sources matched, segments gathered."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.training import SourceSpec, TrainingSpec
from tests.trainer import nano
from trainer import arithmetic, materials, own_tokenizer
from trainer.errors import TrainerError
from trainer.tokenizer.special import EOS

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


def test_folders_are_shared_by_sources(web: str, tmp_path: Path) -> None:
    """Two shares of one folder are one folder of segments; other masks make another."""
    one = spec(a={"share": [0, 0.5]}, b={"share": [0.5, 1]}, s=MADE["sums"], t={**MADE["sums"], "answers_only": False})
    tokenizer = own_tokenizer.trained(one, {"": web})
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
    made = materials.gather(one, {}, own_tokenizer.trained(one, {}), str(tmp_path))
    assert SourceSpec.model_validate(source).answers_only is False
    assert made.library.has_mask(0)


def test_generated_texts_are_documents_of_which_none_is_held_out(tmp_path: Path) -> None:
    source = {"generate": "arithmetic", "documents": 300, "below": 10}
    one = spec(sums=source)
    materials.check(one, {})
    tokenizer = own_tokenizer.trained(one, {})
    made = materials.gather(one, {}, tokenizer, str(tmp_path))
    starts, texts = made.library.starts(0), arithmetic.texts(300, one.seed, below=10)
    read = [made.library.read(0, "tokens", first, last) for first, last in itertools.pairwise(starts.tolist())]
    assert [tokenizer.decode(ids.tolist()) for ids in read] == [f"{text}{EOS}" for text in texts]
    assert (made.library.folders[0].manifest.kind, made.library.has_mask(0)) == ("text", False)
    assert not SourceSpec.model_validate(source).holds_out
    assert SourceSpec().holds_out
