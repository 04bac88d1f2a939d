"""Made problems: right, the same always, and never asked in training where they are held out."""

import re

import pytest

from schemas.chat import Conversation
from trainer import arithmetic
from trainer.arithmetic import Problem, is_right

MANY = 3000
PLUS = Problem(operation="+", left=8, right=4, language="en", question="8 + 4 = ?")


def operands(problems: list[Problem]) -> set[tuple[str, tuple[int, ...]]]:
    """What is asked, whichever way round."""
    return {(problem.operation, tuple(sorted((problem.left, problem.right)))) for problem in problems}


def test_held_out_problems_are_never_asked_in_training_whatever_the_seed() -> None:
    trained = operands(arithmetic.problems(MANY, 0)) | operands(arithmetic.problems(MANY, 1))
    held_out = operands(arithmetic.problems(MANY, 2, held_out=True))
    assert len(held_out) > 300
    assert trained & held_out == set()


def test_numbers_asked_in_digits_give_the_answer() -> None:
    """By another way than the generator's: what the question says, computed."""
    asked = re.compile(r"(?:Calculate )?(\d+) ([+×-]) (\d+)( = \?|\.|[을를] 계산하세요\.)")
    found = [
        (problem, match) for problem in arithmetic.problems(MANY, 0) if (match := asked.fullmatch(problem.question))
    ]
    assert len(found) > MANY // 10
    for problem, match in found:
        assert problem.answer == str(eval(f"{match[1]}{match[2].replace('×', '*')}{match[3]}"))
        assert problem.language == ("ko" if "계산" in problem.question else problem.language)


def test_every_question_holds_its_numbers_in_digits_or_words() -> None:
    for problem in arithmetic.problems(MANY, 0):
        digits = [int(number) for number in re.findall(r"\d+", problem.question)]
        spelled = re.search(r"(^What is [a-z]|^[가-힣]+ (더하기|빼기|곱하기))", problem.question)
        assert digits == ([] if spelled else [problem.left, problem.right]), problem.question
        assert problem.result >= 0
        assert bool(re.search("[가-힣]", problem.question)) == (
            problem.language == "ko" and "= ?" not in problem.question
        )


@pytest.mark.parametrize(
    ("number", "english", "korean"),
    [(0, "zero", "영"), (7, "seven", "칠"), (10, "ten", "십"), (19, "nineteen", "십구"), (20, "twenty", "이십"),
     (47, "forty-seven", "사십칠"), (99, "ninety-nine", "구십구")],
)  # fmt: skip
def test_number_words(number: int, english: str, korean: str) -> None:
    assert (arithmetic._english(number), arithmetic._korean(number)) == (english, korean)


@pytest.mark.parametrize(("last", "particle"), list(zip("0123456789", "은은는은는는은은은는", strict=True)))
def test_korean_particles_follow_the_reading_of_the_last_digit(last: str, particle: str) -> None:
    said = {
        match[1]
        for problem in arithmetic.problems(MANY, 0)
        if (match := re.search(rf"더하기 \d?{last}(\w) 얼마입니까", problem.question))
    }
    assert said == {particle}


def test_the_first_are_the_same_for_every_number_and_a_seed_draws_others() -> None:
    for make in (arithmetic.problems, arithmetic.conversations, arithmetic.preferences, arithmetic.texts):
        long, other = make(40, 0), make(40, 1)
        assert make(20, 0) == long[:20]
        assert all(one != another for one, another in zip(long, other, strict=True)) or make is arithmetic.problems
        assert long != other


def test_conversations_answer_by_the_number_in_one_language() -> None:
    made = arithmetic.conversations(400, 0)
    assert len({one.id for one in made}) == 400
    assert {len(one.messages) for one in made} == {2, 4}
    assert {one.language for one in made} == {"en", "ko"}
    for one in made:
        assert [message.role for message in one.messages] == ["user", "assistant"] * (len(one.messages) // 2)
        assert all(message.content.isdigit() for message in one.messages[1::2])


def test_held_out_conversations_ask_other_problems() -> None:
    def asked(made: list[Conversation]) -> set[str]:
        return {message.content for one in made for message in one.messages[::2]}

    assert asked(arithmetic.conversations(2000, 0)) & asked(arithmetic.conversations(2000, 0, held_out=True)) == set()


def test_preferences_hold_a_right_and_a_wrong_number() -> None:
    made = arithmetic.preferences(MANY, 0)
    assert len({one.id for one in made}) == MANY
    for one in made:
        assert one.chosen != one.rejected
        assert one.chosen.content.isdigit()
        assert one.rejected.content.isdigit()
        assert [message.role for message in one.prompt] == ["user"]


def test_texts_are_questions_with_their_answers() -> None:
    for text in arithmetic.texts(50, 0):
        pairs = [block.split("\n") for block in text.split("\n\n")]
        assert [len(pair) for pair in pairs] == [2] * 4
        assert all(answer.isdigit() for _, answer in pairs)
    assert arithmetic.as_text(PLUS) == "8 + 4 = ?\n12"


@pytest.mark.parametrize(
    ("answer", "right"),
    [("12", True), (" 12.\n", True), ("12 .", True), ("012", False), ("12..", False), ("8 + 4 = 12", False),
     ("13", False), ("", False), ("1 2", False), ("１２", False)],
)  # fmt: skip
def test_exact_match(answer: str, right: bool) -> None:
    assert is_right(PLUS, answer) is right
