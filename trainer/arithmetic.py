"""Arithmetic problems in English and Korean with exact answers: chat data that needs no file.

Additions and subtractions of numbers below 100, products up to 12 x 12, asked in digits, in number words, and as little
stories. Every tenth pair of operands, by a hash that knows neither seed, language nor wording, is held out: no training
problem asks what a held-out one asks, nor with its operands exchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import xxhash

from schemas.chat import Conversation, Message, Preference
from trainer.errors import TrainerError

Operation = Literal["+", "-", "×"]
Language = Literal["en", "ko"]
T = TypeVar("T")

_OPERATIONS: tuple[Operation, ...] = ("+", "+", "-", "-", "×")
_HELD_OUT = 10
"""One in so many."""
_PER_TEXT = 4
_TWO_TURNS = 4
"""One conversation in so many goes on with a second problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question and what is right."""

    operation: Operation
    left: int
    right: int
    language: Language
    question: str

    @property
    def result(self) -> int:
        """Never negative."""
        return _result(self.operation, self.left, self.right)

    @property
    def answer(self) -> str:
        """In digits."""
        return str(self.result)


def problems(n: int, seed: int, *, held_out: bool = False, below: int = 100) -> list[Problem]:
    """n problems, about half in each language; the first ones are the same for every n.

    Args:
      n: how many. There are some 6,000 pairs of operands, so long lists repeat.
      seed: another one draws others.
      held_out: those that no training problem asks.
      below: numbers are smaller than this, 10 to 100; products never go beyond 12 x 12.

    Raises:
      TrainerError: `below` is out of range.
    """
    return [_problem(_Draw(seed, "problem", i), held_out, below) for i in range(n)]


def conversations(n: int, seed: int, *, held_out: bool = False, below: int = 100) -> list[Conversation]:
    """n conversations of one or two problems, each answered by the number alone."""
    return [_conversation(seed, i, held_out, below) for i in range(n)]


def preferences(n: int, seed: int, *, held_out: bool = False, below: int = 100) -> list[Preference]:
    """n problems with the right answer and a wrong one that somebody might give."""
    made = []
    for i in range(n):
        problem = _problem(_Draw(seed, "preference", i), held_out, below)
        made.append(
            Preference(
                id=f"arithmetic-{seed}-{i}",
                prompt=(Message(role="user", content=problem.question),),
                chosen=Message(role="assistant", content=problem.answer),
                rejected=Message(role="assistant", content=_wrong(problem, _Draw(seed, "wrong", i))),
                language=problem.language,
            )
        )
    return made


def texts(n: int, seed: int, *, held_out: bool = False, below: int = 100) -> list[str]:
    """n plain texts of some problems each, an answer on the line behind its question: the few-shot form."""
    made = []
    for i in range(n):
        draws = (_Draw(seed, f"text {i}", k) for k in range(_PER_TEXT))
        made.append("\n\n".join(as_text(_problem(draw, held_out, below)) for draw in draws))
    return made


def as_text(problem: Problem) -> str:
    """Question and answer as plain text."""
    return f"{problem.question}\n{problem.answer}"


def is_right(problem: Problem, answer: str) -> bool:
    """Exact match: the number, and nothing but blanks around it and a full stop behind."""
    return answer.strip().removesuffix(".").rstrip() == problem.answer


class _Draw:
    """Choices that depend on (seed, what, number) alone."""

    def __init__(self, seed: int, what: str, number: int) -> None:
        self._key, self._made = f"{seed}/arithmetic/{what}/{number}", 0

    def below(self, most: int) -> int:
        self._made += 1
        return xxhash.xxh3_64_intdigest(f"{self._key}/{self._made}".encode()) % most

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


def _conversation(seed: int, number: int, held_out: bool, below: int) -> Conversation:
    draw = _Draw(seed, "conversation", number)
    asked = [_problem(draw, held_out, below)]
    if draw.below(_TWO_TURNS) == 0:
        asked.append(_problem(draw, held_out, below, asked[0].language))
    messages: list[Message] = []
    for problem in asked:
        messages += [Message(role="user", content=problem.question), Message(role="assistant", content=problem.answer)]
    return Conversation(id=f"arithmetic-{seed}-{number}", messages=tuple(messages), language=asked[0].language)


def _problem(draw: _Draw, held_out: bool, below: int, language: Language | None = None) -> Problem:
    if not 10 <= below <= 100:
        raise TrainerError(f"numbers below {below!r}: give 10 to 100, for which there are words")
    languages: tuple[Language, ...] = ("en", "ko")
    chosen = draw.one(languages) if language is None else language
    while True:
        operation = draw.one(_OPERATIONS)
        most = min(13, below) if operation == "×" else draw.one((10, below))
        left, right = draw.below(most), draw.below(most)
        if operation == "-" and left < right:
            left, right = right, left
        if _is_held_out(operation, left, right) == held_out:
            break
    ask = _ask_in_english if chosen == "en" else _ask_in_korean
    question = ask(operation, left, right, draw)
    return Problem(operation=operation, left=left, right=right, language=chosen, question=question)


def _is_held_out(operation: Operation, left: int, right: int) -> bool:
    low, high = sorted((left, right))
    return xxhash.xxh3_64_intdigest(f"{operation} {low} {high}".encode()) % _HELD_OUT == 0


def _result(operation: Operation, left: int, right: int) -> int:
    return {"+": left + right, "-": left - right, "×": left * right}[operation]


def _wrong(problem: Problem, draw: _Draw) -> str:
    """Off by one or ten, the digits exchanged, or another operation."""
    right = problem.result
    slips = [right - 10, right - 1, right + 1, right + 10, int(str(right)[::-1])]
    slips += [_result(other, problem.left, problem.right) for other in ("+", "-", "×")]
    return str(draw.one(sorted({slip for slip in slips if slip >= 0 and slip != right})))


_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SINO = "영일이삼사오육칠팔구"
_FINAL = frozenset("013678")
"""Last digits whose Korean reading ends in a consonant, so that 은 and 을 follow, not 는 and 를 (0: 영, 십)."""
_NAMES = ("Mina", "Tom", "Sara", "Ben", "Yuna", "Leo")
_THINGS = (("apple", "apples"), ("pencil", "pencils"), ("book", "books"), ("coin", "coins"))
_KO_NAMES = ("민아는", "지훈이는", "서연이는", "도윤이는", "유나는", "현우는")
_KO_THINGS = (
    ("사과", "사과를", "개", "개를"),
    ("연필", "연필을", "자루", "자루를"),
    ("책", "책을", "권", "권을"),
    ("동전", "동전을", "개", "개를"),
)
"""Noun, noun as object, counter, counter as object."""


def _english(number: int) -> str:
    """Below 100, in words."""
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def _korean(number: int) -> str:
    """Below 100, in Sino-Korean words."""
    tens, ones = divmod(number, 10)
    if not tens:
        return _SINO[ones]
    return (_SINO[tens] if tens > 1 else "") + "십" + (_SINO[ones] if ones else "")


def _ask_in_english(operation: Operation, a: int, b: int, draw: _Draw) -> str:
    word = {"+": "plus", "-": "minus", "×": "times"}[operation]
    digits = (f"{a} {operation} {b} = ?", f"What is {a} {word} {b}?", f"Calculate {a} {operation} {b}.")
    words = f"What is {_english(a)} {word} {_english(b)}?"
    story = _english_story(operation, a, b, draw) if a and b else words
    return draw.one((draw.one(digits), words, story))


def _english_story(operation: Operation, a: int, b: int, draw: _Draw) -> str:
    name, (one, many) = draw.one(_NAMES), draw.one(_THINGS)
    first = f"{a} {one if a == 1 else many}"
    if operation == "+":
        return f"{name} has {first} and gets {b} more. How many {many} does {name} have now?"
    if operation == "-":
        return f"{name} has {first} and gives away {b}. How many {many} are left?"
    boxes = "1 box" if a == 1 else f"{a} boxes"
    return f"{name} fills {boxes} with {b} {one if b == 1 else many} each. How many {many} are there?"


def _ask_in_korean(operation: Operation, a: int, b: int, draw: _Draw) -> str:
    word = {"+": "더하기", "-": "빼기", "×": "곱하기"}[operation]
    topic, thing = ("은", "을") if str(b)[-1] in _FINAL else ("는", "를")
    digits = (
        f"{a} {operation} {b} = ?",
        f"{a} {word} {b}{topic} 얼마입니까?",
        f"{a} {operation} {b}{thing} 계산하세요.",
    )
    words = f"{_korean(a)} {word} {_korean(b)}{topic} 얼마입니까?"
    story = _korean_story(operation, a, b, draw) if a and b else words
    return draw.one((draw.one(digits), words, story))


def _korean_story(operation: Operation, a: int, b: int, draw: _Draw) -> str:
    name, (thing, things, counter, counted) = draw.one(_KO_NAMES), draw.one(_KO_THINGS)
    if operation == "+":
        return f"{name} {thing} {a}{counted} 가지고 있습니다. {b}{counted} 더 받았습니다. 모두 몇 {counter}입니까?"
    if operation == "-":
        return f"{name} {thing} {a}{counter} 가운데 {b}{counted} 친구에게 주었습니다. 남은 것은 몇 {counter}입니까?"
    return f"{name} 상자 {a}개에 {things} {b}{counter}씩 담았습니다. 모두 몇 {counter}입니까?"
