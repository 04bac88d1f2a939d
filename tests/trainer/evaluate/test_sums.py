"""Exact match: the number and nothing else, by language, as a chat or behind solved sums."""

from collections.abc import Iterator, Sequence
from typing import cast

from schemas.chat import Message
from trainer import arithmetic
from trainer.evaluate.sums import exact_match
from trainer.speak import Speaker

PROBLEMS = arithmetic.problems(20, seed=1, held_out=True, below=10)
BY_QUESTION = {problem.question: problem.answer for problem in PROBLEMS}


class Rigged:
    """Answers rightly where the answer is even, and chats on behind a few-shot answer."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def _answer(self, question: str) -> str:
        answer = BY_QUESTION[question]
        return answer if int(answer) % 2 == 0 else f"about {answer}"

    def answers(self, messages: Sequence[Message]) -> Iterator[str]:
        yield from self._answer(messages[-1].content)

    def goes_on(self, text: str) -> Iterator[str]:
        self.prompts.append(text)
        yield from self._answer(text.rstrip("\n").rpartition("\n")[2]) + "\n\nWhat is 1 + 1?\n2"


def wanted() -> dict[str, int]:
    found: dict[str, int] = {}
    for problem in PROBLEMS:
        found[problem.language] = found.get(problem.language, 0) + (problem.result % 2 == 0)
    return found


def test_a_chat_answers_with_the_number_alone() -> None:
    assert set(wanted()) == {"en", "ko"}
    assert exact_match(cast(Speaker, Rigged()), PROBLEMS) == wanted()


def test_a_base_model_is_asked_behind_solved_sums() -> None:
    model, shots = Rigged(), arithmetic.problems(2, seed=2, below=10)
    assert exact_match(cast(Speaker, model), PROBLEMS, shots) == wanted()
    first = "\n\n".join([arithmetic.as_text(shots[0]), arithmetic.as_text(shots[1]), PROBLEMS[0].question]) + "\n"
    assert model.prompts[0] == first
