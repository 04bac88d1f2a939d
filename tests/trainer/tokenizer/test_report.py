"""A tokenizer's fit, counted by hand."""

import json

import pytest

from schemas.training import TokenizerSpec
from tests.trainer.tokenizer.lookalikes import gemma, ours
from trainer.tokenizer import bpe
from trainer.tokenizer.report import measure
from trainer.tokenizer.tokenizer import Tokenizer

OURS = Tokenizer.from_json(ours())


def test_bytes_a_token_by_language() -> None:
    rows = [("en", "1234"), ("ko", " 의자"), ("en", "12"), ("ko", "숫"), ("", "")]
    report = measure(rows, OURS)
    assert [(fit.language, fit.documents, fit.bytes, fit.tokens) for fit in report.languages] == [
        ("ko", 2, 10, 4),  # 의자 is one token; 숫 was never seen, its three bytes are
        ("en", 2, 6, 6),
        ("", 1, 0, 0),
    ]
    ko, en, none = report.languages
    assert (ko.bytes_per_token, ko.bytes_share, ko.used) == (2.5, 0.75, 4)
    assert (en.bytes_per_token, en.bytes_share, en.used, en.used_share) == (1.0, 0.0, 4, 4 / 400)
    assert (none.bytes_per_token, none.bytes_share, none.unknown_share, none.used) == (0.0, 0.0, 0.0, 0)
    assert (report.total.bytes, report.total.tokens, report.total.used, report.vocabulary) == (16, 10, 8, 400)
    assert report.tokenizer_sha256 == OURS.sha256


def test_names_of_special_tokens_are_counted_as_text() -> None:
    (fit,) = measure([("en", "<|endoftext|>")], OURS).languages
    assert fit.tokens == len(OURS.encode_text("<|endoftext|>")) > 1


def test_the_replacement_character_itself_is_a_whole_one() -> None:
    trained = Tokenizer.from_json(bpe.train(["\ufffd\ufffd \ufffd"] * 9, TokenizerSpec(vocab_size=300)))
    (fit,) = measure([("", "\ufffd")], trained).languages
    assert (fit.tokens, fit.bytes_share) == (1, 0.0)


def test_byte_fallback_is_counted() -> None:
    tokenizer = Tokenizer.from_json(gemma())
    (fit,) = measure([("ko", "숫")], tokenizer).languages
    assert (fit.tokens, fit.bytes_share, fit.unknown_share) == (3, 1.0, 0.0)


def test_unknown_ids_are_counted() -> None:
    told = json.loads(gemma())
    told["model"]["byte_fallback"] = False
    (fit,) = measure([("ko", "숫 the")], Tokenizer.from_json(json.dumps(told).encode())).languages
    assert fit.unknown_share == 1 / fit.tokens


def test_figures_do_not_depend_on_how_texts_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("en" if n % 2 else "ko", f"text {n} 의자") for n in range(50)]
    whole = measure(rows, OURS)
    monkeypatch.setattr("trainer.tokenizer.report._BATCH_BYTES", 10)
    assert measure(rows, OURS) == whole
    assert measure(reversed(rows), OURS) == whole


def test_the_report_as_json_and_as_a_table() -> None:
    report = measure([("ko", " 의자"), ("en", "12")], OURS)
    told = json.loads(report.json())
    assert told["languages"][0]["language"] == "ko"
    assert told["total"]["tokens"] == 3
    lines = report.table().splitlines()
    assert [line.split()[0] for line in lines] == ["language", "ko", "en", "all"]
    assert lines[1].split()[1:5] == ["1", "7", "1", "7.000"]
    assert len({len(line) for line in lines}) == 1
