"""`gristmill chat`: answers, pipes, and what neither a user nor a model can do to a terminal."""

import io
from collections.abc import Iterator

import pytest

from schemas.chat import Message
from service.exits import Exit
from tests.service.obeyed import Gristmill
from tests.trainer.nano import Made
from trainer.speak import Piece, Speaker


def test_chat(gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to what is asked, or to lines that are piped in; a base model goes on with a text."""
    base = gristmill("chat", tiny.output, "--base", "--ask", "The miller", "--ask", "물이", "--max-tokens", 5)
    assert base.code == Exit.OK
    assert base.out.count("\n") >= 2
    again = gristmill("chat", tiny.output, "--base", "--ask", "The miller", "--max-tokens", 5)
    assert base.out.startswith(again.out)
    monkeypatch.setattr("sys.stdin", io.StringIO("The miller\n\nnever asked\n"))
    assert gristmill("chat", tiny.output, "--base", "--max-tokens", 5).out == again.out
    asked = gristmill(
        "chat", tiny.output, "--system", "s", "--ask", "a", "--max-tokens", 3, "--temperature", 1, "--seed", 4
    )
    assert (asked.code, asked.out.count("\n") >= 1) == (Exit.OK, True)


def test_bytes_that_are_no_text_are_asked_as_replacements(
    gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line, in a system prompt and in a pipe, whatever the locale does with them."""
    heard: list[str] = []
    monkeypatch.setattr("trainer.speak.Speaker.goes_on", lambda self, text: heard.append(text) or iter(["said"]))
    bad, whole = "a\udcff\udcfeb", "a\ufffd\ufffdb"
    assert gristmill("chat", tiny.output, "--base", "--ask", bad).out == "said\n"
    for errors in ("strict", "surrogateescape"):
        piped = io.TextIOWrapper(io.BytesIO(b"a\xff\xfeb\nnext\n"), encoding="utf-8", errors=errors)
        monkeypatch.setattr("sys.stdin", piped)
        assert gristmill("chat", tiny.output, "--base").out == "said\nsaid\n"
    assert heard == [whole, whole, "next", whole, "next"]

    def turn(speaker: Speaker, messages: list[Message]) -> Iterator[Piece]:
        heard[:] = [message.content for message in messages]
        return iter([Piece("said", False)])

    monkeypatch.setattr("trainer.speak.Speaker.turn", turn)
    assert gristmill("chat", tiny.output, "--system", bad, "--ask", bad).out == "said\n"
    assert heard == [whole, whole]


def test_what_a_model_says_steers_no_terminal(
    gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.speak.Speaker.goes_on", lambda self, text: iter(["a\x1b[31m\n", "\n\u202eb"]))
    done = gristmill("chat", tiny.output, "--base", "--ask", "x")
    assert done.out == "a\\x1b[31m\n\n\\u202eb\n"


def test_reasoning_is_told_on_stderr(gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[Message]] = []

    def turn(speaker: Speaker, messages: list[Message]) -> Iterator[Piece]:
        heard.append(list(messages))
        return iter([Piece("h\x1b", True), Piece("m", True), Piece("ye", False), Piece("s", False)])

    monkeypatch.setattr("trainer.speak.Speaker.turn", turn)
    done = gristmill("chat", tiny.output, "--ask", "x", "--ask", "y")
    assert done.out == "yes\nyes\n"
    assert "reasoning: h\\x1bm\nreasoning: h\\x1bm\n" in done.err
    assert heard[1][1] == Message(role="assistant", content="yes", reasoning_content="h\x1bm")
