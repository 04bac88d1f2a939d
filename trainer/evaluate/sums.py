"""Exact match on problems of the arithmetic generator that no training has asked: as a chat, or few-shot."""

from collections.abc import Iterator, Sequence

from schemas.chat import Message
from trainer.arithmetic import Problem, as_text, is_right
from trainer.speak import Speaker


def exact_match(speaker: Speaker, problems: Sequence[Problem], shots: Sequence[Problem] = ()) -> dict[str, int]:
    """How many are answered rightly, by language: the number and nothing else.

    Args:
      speaker: The model; asked in its chat template, unless there are shots.
      problems: What is asked.
      shots: Solved problems that stand before each one as plain text, as a base model needs them; the first line of
        what it goes on with is its answer.
    """
    right: dict[str, int] = {}
    for problem in problems:
        if shots:
            prompt = "\n\n".join([*map(as_text, shots), problem.question]) + "\n"
            answer = _first_line(speaker.goes_on(prompt))
        else:
            answer = "".join(speaker.answers([Message(role="user", content=problem.question)]))
        right[problem.language] = right.get(problem.language, 0) + is_right(problem, answer)
    return right


def _first_line(pieces: Iterator[str]) -> str:
    told = ""
    for piece in pieces:
        told += piece
        if "\n" in told.lstrip("\n"):
            break
    return told.lstrip("\n").partition("\n")[0]
