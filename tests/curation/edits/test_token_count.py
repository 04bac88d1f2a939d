import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from curation.edits.token_count import TokenCount, TokenizerError, pieces
from schemas.records import Document


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of single characters after a split at white space, with everything on that must not count."""
    vocabulary = {"[CLS]": 0, "[UNK]": 1, "a": 2, "b": 3}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 0)])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=4)
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(file))
    return file


ESTIMATES = {"": 0, "a": 1, "abcd": 1, "abcde": 2, "한국": 2, "\ud800": 1}


@pytest.mark.parametrize("text", ESTIMATES, ids=ascii)
def test_estimate(text: str) -> None:
    stage = TokenCount()
    assert stage.files() == ()
    assert stage.libraries() == ()
    assert stage.setup({}).edit(Document(text=text, id="1")) == Document(text=text, id="1", token_count=ESTIMATES[text])


def test_tokenizer(path: Path) -> None:
    stage = TokenCount(tokenizer="tiny")
    assert stage.files() == ("tiny",)
    assert stage.libraries() == ("tokenizers",)
    stage = stage.setup({"tiny": path})
    assert [stage.count(text) for text in ("", "a", "ab ba ab ba", "\ud800")] == [0, 1, 8, 1]
    assert stage.edit(Document(text="a b")).token_count == 2


def test_long_texts_are_counted_in_pieces(path: Path) -> None:
    whole = TokenCount(tokenizer="tiny").setup({"tiny": path})
    cut = TokenCount(tokenizer="tiny", piece=8).setup({"tiny": path})
    for text in ("ab " * 1000, "a\nb" * 1000, "a" * 1001):
        assert cut.count(text) == whole.count(text)


def test_pieces() -> None:
    assert list(pieces("", 4)) == [""]
    assert list(pieces("abcd", 4)) == ["abcd"]
    assert list(pieces("abcde", 4)) == ["abcd", "e"]
    assert list(pieces("abcd efgh ijkl", 8)) == ["abcd efg", "h ijkl"]
    assert list(pieces("abcdefg hijkl", 8)) == ["abcdefg", " hijkl"]
    assert list(pieces("abcdef  hijkl", 8)) == ["abcdef  ", "hijkl"]


@given(st.text(alphabet="a \n", max_size=60), st.integers(4, 20))
def test_pieces_lose_nothing(text: str, size: int) -> None:
    parts = list(pieces(text, size))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= size


@given(st.text())
@settings(max_examples=50)
def test_any_text_gets_a_count(path: Path, text: str) -> None:
    assert TokenCount(tokenizer="tiny").setup({"tiny": path}).count(text) >= 0
    assert TokenCount().count(text) >= 0


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", json.dumps({"version": 1})])
def test_no_tokenizer(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(TokenizerError, match=re.escape(repr(str(tmp_path / "t.json")))):
        TokenCount(tokenizer="t").setup({"t": tmp_path / "t.json"})


def test_faults() -> None:
    with pytest.raises(TokenizerError, match=r"'/none/t\.json' can't be read"):
        TokenCount(tokenizer="t").setup({"t": Path("/none/t.json")})
    with pytest.raises(RuntimeError, match="'t' was loaded; call setup"):
        TokenCount(tokenizer="t").count("a")
    with pytest.raises(ValueError, match="piece is 3"):
        TokenCount(piece=3)
