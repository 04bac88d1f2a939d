"""What a model says, piece by piece."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from schemas.chat import Message
from tests.trainer.evaluate.models import adding_eos, decoder, tokenizer
from trainer.chat.template import render
from trainer.errors import PromptError
from trainer.speak import Piece, Speaker
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.trained import Trained

OWN = tokenizer()
TRAINED = Trained(decoder(OWN), OWN, None)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of generation: says `ids`, and remembers what it was asked."""
    held: dict[str, Any] = {"ids": []}

    def generate(model: Any, prompt: Sequence[int], **options: Any) -> Iterator[int]:
        held.update(options, prompt=list(prompt))
        for number in held["ids"]:
            if number in options["stop_ids"]:
                return
            yield number

    monkeypatch.setattr("trainer.speak.generate", generate)
    return held


def test_an_answer_in_a_conversation(said: dict[str, Any]) -> None:
    messages = [Message(role="user", content="The mat?")]
    said["ids"] = [*OWN.encode_text("The cat sat."), OWN.special["<|im_end|>"], *OWN.encode_text("never")]
    pieces = list(Speaker(TRAINED, temperature=0.5, top_p=0.9, seed=3, max_tokens=30).answers(messages))
    assert "".join(pieces) == "The cat sat."
    assert len(pieces) > 1
    assert said["prompt"] == render(messages, OWN, answer=False)[0].tolist()
    assert (said["temperature"], said["top_p"], said["seed"], said["max_new_tokens"]) == (0.5, 0.9, 3, 30)


def test_reasoning_is_told_apart(said: dict[str, Any]) -> None:
    think, thought = (OWN.special[name] for name in ("<think>", "</think>"))
    asked = [Message(role="user", content="<think>")]
    hm, cat, end = OWN.encode_text("hm 의자"), OWN.encode_text("The cat"), OWN.special["<|im_end|>"]
    said["ids"] = [think, *hm, thought, *cat, end, *cat]
    pieces = list(Speaker(TRAINED).turn(asked))
    assert "".join(piece.text for piece in pieces if piece.reasoning) == "hm 의자"
    assert [piece.reasoning for piece in pieces] == sorted((piece.reasoning for piece in pieces), reverse=True)
    assert "".join(Speaker(TRAINED).answers(asked)) == "The cat"
    answer = Message(role="assistant", content="The cat", reasoning_content="hm 의자")
    assert [*said["prompt"], think, *hm, thought, *cat, end] == render([*asked, answer], OWN)[0].tolist()[:-1]
    said["ids"] = [think, *OWN.encode_text("a"), end]  # ended before it answered
    assert list(Speaker(TRAINED).turn(asked)) == [Piece("a", reasoning=True)]
    assert list(Speaker(TRAINED).answers(asked)) == []


def test_a_prompt_may_open_the_reasoning(said: dict[str, Any]) -> None:
    opened = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}{{ '<think>\n' }}"
    speaker = Speaker(replace(TRAINED, tokenizer=Tokenizer(OWN.json, OWN.names, opened)))
    said["ids"] = [*OWN.encode_text("a"), OWN.special["</think>"], *OWN.encode_text("b")]
    assert list(speaker.turn([Message(role="user", content="x")])) == [Piece("a", True), Piece("b", False)]


def test_without_tokens_for_it_nothing_is_reasoning(said: dict[str, Any]) -> None:
    """In the look-alike of Qwen 2 the marks are text."""
    own = tokenizer("qwen2")
    said["ids"] = own.encode_text("<think>a</think>b")
    pieces = list(Speaker(Trained(decoder(own), own, None)).turn([Message(role="user", content="x")]))
    assert "".join(piece.text for piece in pieces) == "<think>a</think>b"
    assert not any(piece.reasoning for piece in pieces)


def test_a_base_model_goes_on(said: dict[str, Any]) -> None:
    said["ids"] = [*OWN.encode_text(" sat"), OWN.eos_id]
    assert list(Speaker(TRAINED).goes_on("The cat")) == [" sat"]
    assert said["prompt"] == OWN.encode("The cat")


def test_nothing_goes_on_behind_an_end(said: dict[str, Any]) -> None:
    own = adding_eos()
    list(Speaker(replace(TRAINED, tokenizer=own)).goes_on("The cat"))
    assert said["prompt"] == OWN.encode("The cat") == own.encode("The cat")[:-1]
    llama = tokenizer("llama3")
    list(Speaker(replace(TRAINED, tokenizer=llama)).goes_on("The cat"))
    assert said["prompt"] == llama.encode("The cat") == [llama.bos_id, *llama.encode_text("The cat")]


def test_no_piece_holds_half_a_character(said: dict[str, Any]) -> None:
    said["ids"] = OWN.encode_text("일 👍🏽!")
    assert len(said["ids"]) > 4  # bytes
    pieces = list(Speaker(TRAINED).goes_on("x"))
    assert "".join(pieces) == "일 👍🏽!"
    assert not any("\ufffd" in piece for piece in pieces)


def test_what_ends_in_half_a_character_is_told_up_to_there(said: dict[str, Any]) -> None:
    said["ids"] = OWN.encode_text("a 👍")[:-1]
    assert "".join(Speaker(TRAINED).goes_on("x")) == "a "
    said["ids"] = []
    assert list(Speaker(TRAINED).goes_on("x")) == []


@pytest.mark.parametrize("name", ["ours", "llama3", "qwen2", "gemma"])
def test_pieces_are_the_whole_text(said: dict[str, Any], name: str) -> None:
    """Korean, emoji, spaces, special tokens, bytes that are no text, and ids at random."""
    own = tokenizer(name)
    speaker = Speaker(Trained(decoder(own), own, None))
    text = "일 👍🏽 고양이가 의자에\n\n 앉았다.  The cat <think>sat</think>"
    said["ids"] = own.encode_text(text)
    assert "".join(speaker.goes_on("x")) == own.decode(said["ids"]) == text
    said["ids"] = [*own.encode_text("👍")[:-1], *own.encode_text("mat")]
    assert "".join(speaker.goes_on("x")) == own.decode(said["ids"])
    # where vocabularies fall back to bytes, one that is no text takes those before it along, which are said already
    pool = [n for n, token in own.tokens().items() if n not in own.end_ids and not re.fullmatch("<0x[89A-F].>", token)]
    random = Random(1)
    for _ in range(30):
        said["ids"] = random.choices(pool, k=20)
        assert "".join(speaker.goes_on("x")) == own.decode(said["ids"]).rstrip("\ufffd")


def test_a_long_answer_costs_its_length(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = Tokenizer.decode

    def counted(own: Tokenizer, ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return decode(own, ids)

    monkeypatch.setattr(Tokenizer, "decode", counted)
    said["ids"] = OWN.encode_text("고양이가 The cat 👍🏽 " * 50)
    list(Speaker(TRAINED).goes_on("x"))
    assert len(decoded) == 2 * len(said["ids"])
    assert max(decoded) < 16


def test_the_models_own_words_are_alike() -> None:
    once, again = ("".join(Speaker(TRAINED, max_tokens=20).goes_on("The cat")) for _ in range(2))
    assert once == again != ""


def test_a_prompt_without_room() -> None:
    with pytest.raises(PromptError, match=r"the prompt takes \d+ tokens, the model's context holds 64"):
        list(Speaker(TRAINED).goes_on("12345 " * 40))


def turns(*words: str) -> list[Message]:
    """A question and an answer in turns."""
    return [Message(role="assistant" if n % 2 else "user", content=word) for n, word in enumerate(words)]


@pytest.mark.parametrize("before", [[], [Message(role="system", content="s")]])
@pytest.mark.parametrize("max_tokens", [2, 16, 999])
def test_the_oldest_exchanges_are_left_out(before: list[Message], max_tokens: int) -> None:
    """As few as leave an answer its room, a quarter of the context at most; not what the system says."""
    speaker = Speaker(TRAINED, max_tokens=max_tokens)
    told = turns("The cat", "sat", "on", "the mat", "The cat", "sat", "on", "the mat", "The cat?")
    room = 64 - min(max_tokens, 16)
    lengths = [len(render([*before, *told[n:]], OWN, answer=False)[0]) for n in range(0, 9, 2)]
    first = 2 * next(n for n, length in enumerate(lengths) if length <= room)
    assert 0 < first < 8
    assert speaker.recent([*before, *told]) == [*before, *told[first:]]
    assert speaker.recent([*before, *told[first:]]) == [*before, *told[first:]]


def test_a_question_that_leaves_little_room_is_asked_alone() -> None:
    """One that leaves none is not asked."""
    speaker = Speaker(TRAINED, max_tokens=999)
    sizes = {n: len(render(turns("cat " * n), OWN, answer=False)[0]) for n in range(1, 64)}
    most = max(n for n, size in sizes.items() if size < 64)
    assert sizes[most] > 48
    asked = turns("The cat", "sat", "cat " * most)
    assert speaker.recent(asked) == asked[2:]
    with pytest.raises(PromptError, match=rf"the prompt takes {sizes[most + 1]} tokens, the model's context holds 64"):
        speaker.recent(turns("The cat", "sat", "cat " * (most + 1)))
