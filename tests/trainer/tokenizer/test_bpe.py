"""Training: the same bytes always, digits and Hangul as said, hostile text bounded."""

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.training import TokenizerSpec
from tests.trainer.tokenizer.lookalikes import TEXTS, ours
from trainer.errors import TrainerError
from trainer.tokenizer import bpe
from trainer.tokenizer.special import SPECIAL
from trainer.tokenizer.tokenizer import Tokenizer

ROOT = Path(__file__).parents[3]
TRAINED = Tokenizer.from_json(ours())


def tokens(text: str) -> list[str]:
    return [TRAINED.decode([number]) for number in TRAINED.encode_text(text)]


def test_special_tokens_come_first_and_every_byte_is_there() -> None:
    assert [TRAINED.special[name] for name in SPECIAL] == list(range(16))
    assert (TRAINED.eos_id, TRAINED.pad_id, TRAINED.bos_id) == (0, 3, None)
    assert len(json.loads(TRAINED.json)["model"]["vocab"]) == 400 == TRAINED.largest_id + 1


@given(st.text())
def test_any_text_comes_back_in_nfc(text: str) -> None:
    ids = TRAINED.encode_text(text)
    assert TRAINED.decode(ids) == unicodedata.normalize("NFC", text)
    assert TRAINED.unknown_id is None


def test_each_digit_is_a_token() -> None:
    assert tokens("2026") == ["2", "0", "2", "6"]
    assert tokens("x12") == ["x", "1", "2"]


def test_a_new_word_of_known_stem_and_particle_takes_two_tokens_also_from_separate_jamo() -> None:
    words = [stem + particle for stem in ("고양이", "의자", "바다") for particle in ("는", "가", "를", "에서")]
    words.remove("고양이에서")
    korean = Tokenizer.from_json(bpe.train([" ".join(words)] * 9, TokenizerSpec(vocab_size=320)))
    ids = korean.encode_text(" 고양이에서")
    assert [korean.decode([number]) for number in ids] == [" 고양이", "에서"]
    assert korean.encode_text(unicodedata.normalize("NFD", " 고양이에서")) == ids


@pytest.mark.parametrize("threads", ["1", "3"])
def test_equal_bytes_in_another_process_on_any_threads_in_any_order(threads: str) -> None:
    program = (
        "import hashlib; from schemas.training import TokenizerSpec; from trainer.tokenizer import bpe; "
        "from tests.trainer.tokenizer.lookalikes import TEXTS; "
        "print(hashlib.sha256(bpe.train(TEXTS[::-1], TokenizerSpec(vocab_size=400))).hexdigest())"
    )
    environment = os.environ | {"RAYON_NUM_THREADS": threads}
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == hashlib.sha256(ours()).hexdigest() == TRAINED.sha256


def test_text_without_blanks_is_cut_for_training_alone() -> None:
    hangul = "".join(map(chr, range(0xAC00, 0xD7A4)))
    raw = bpe.train(["a" * 400_000, hangul * 20, "-" * 100_000, " " * 100_000], TokenizerSpec(vocab_size=2000))
    trained = Tokenizer.from_json(raw)
    lengths = {len(trained.decode([number])) for number in range(16, trained.largest_id + 1)}
    assert max(lengths) == bpe.LONGEST
    assert json.loads(raw)["pre_tokenizer"] == json.loads(TRAINED.json)["pre_tokenizer"]
    assert len(json.loads(raw)["pre_tokenizer"]["pretokenizers"]) == 2


def test_a_vocabulary_ends_where_no_pair_occurs_twice() -> None:
    trained = Tokenizer.from_json(bpe.train(["abab", "cd"], TokenizerSpec(vocab_size=600)))
    assert trained.largest_id == 16 + 256  # "ab" alone occurs twice


def test_no_room_for_the_special_tokens() -> None:
    with pytest.raises(TrainerError, match=r"vocab_size 271 has no room for 16 special tokens and 256 bytes; .* 272"):
        bpe.train(TEXTS, TokenizerSpec.model_construct(vocab_size=271))


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_no_text(texts: list[str]) -> None:
    with pytest.raises(TrainerError, match="no text to train a tokenizer on"):
        bpe.train(texts, TokenizerSpec(vocab_size=300))
