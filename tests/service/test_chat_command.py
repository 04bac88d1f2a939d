"""`gristmill chat`: answers, pipes, and what neither a user nor a model can do to a terminal."""

import io
from collections.abc import Iterator, Sequence

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
    monkeypatch.setattr("trainer.speak.Speaker.recent", all_of_them)
    assert gristmill("chat", tiny.output, "--system", bad, "--ask", bad).out == "said\n"
    assert heard == [whole, whole]


def all_of_them(speaker: Speaker, messages: Sequence[Message]) -> list[Message]:
    """As of a model whose context is larger than this one's 32 tokens."""
    return list(messages)


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
    monkeypatch.setattr("trainer.speak.Speaker.recent", all_of_them)
    done = gristmill("chat", tiny.output, "--ask", "x", "--ask", "y")
    assert done.out == "yes\nyes\n"
    assert "reasoning: h\\x1bm\nreasoning: h\\x1bm\n" in done.err
    assert heard[1][1] == Message(role="assistant", content="yes", reasoning_content="h\x1bm")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In place of a model's turn: what it was asked, always answered the same."""
    found: list[list[str]] = []

    def turn(speaker: Speaker, messages: list[Message]) -> Iterator[Piece]:
        found.append([message.content for message in messages])
        return iter([Piece("yes", False)])

    monkeypatch.setattr("trainer.speak.Speaker.turn", turn)
    return found


def test_a_long_conversation_loses_its_beginning(gristmill: Gristmill, tiny: Made, heard: list[list[str]]) -> None:
    questions = [f"{n}?" for n in range(6)]
    done = gristmill("chat", tiny.output, "--system", "s", *(word for n in questions for word in ("--ask", n)))
    assert (done.code, done.out) == (Exit.OK, "yes\n" * 6)
    assert [asked[-1] for asked in heard] == questions
    assert {asked[0] for asked in heard} == {"s"}
    assert "0?" in heard[0]
    assert "0?" not in heard[-1]
    told = "note: the conversation outgrows the model's context: from here on its oldest turns are left out\n"
    assert done.err == told


class Terminal(io.StringIO):
    """What is typed."""

    def isatty(self) -> bool:
        """It is typed by a person."""
        return True


@pytest.mark.parametrize("base", [False, True])
def test_a_question_too_long_is_told_and_the_prompt_stays(
    gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch, heard: list[list[str]], base: bool
) -> None:
    monkeypatch.setattr("trainer.speak.Speaker.goes_on", goes_on_or_tells)
    typed = f"one?\n{'long ' * 99}\ntwo?\n"
    command = ("chat", tiny.output, *(["--base"] if base else []))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    done = gristmill(*command)
    assert (done.code, done.out.count("yes\n")) == (Exit.OK, 2)
    assert done.err.count("ask something shorter") == 1
    assert [asked[-1] for asked in heard] == ([] if base else ["one?", "two?"])
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))  # nobody sees what a pipe is told
    done = gristmill(*command)
    assert (done.code, done.out) == (Exit.USAGE, "yes\n")
    assert "ask something shorter" in done.err


def test_ctrl_c_ends_a_chat_quietly(gristmill: Gristmill, tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(speaker: Speaker, text: str) -> Iterator[str]:
        yield "ye"
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.speak.Speaker.goes_on", interrupted)
    done = gristmill("chat", tiny.output, "--base", "--ask", "x", "--ask", "y")
    assert (done.code, done.out, done.err) == (Exit.INTERRUPTED, "ye", "\n")


def goes_on_or_tells(speaker: Speaker, text: str) -> Iterator[str]:
    """Checks as a speaker does."""
    speaker._check(len(speaker.trained.tokenizer.encode_prompt(text)))
    yield "yes"
