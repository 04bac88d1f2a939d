"""Multiple choice by log-likelihood: the continuation that the model finds likeliest is its answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.evaluate.log_probs import Ids, continued
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer

_Z = 1.959964
"""The normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its choices; each choice is scored as a continuation of the question."""

    question: str
    choices: tuple[str, ...]
    answer: int
    """Number of the right choice, from 0."""

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or not 0 <= self.answer < len(self.choices) or not all(self.choices):
            raise TrainerError(
                f"question {self.question[:60]!r}: answer {self.answer} of {len(self.choices)} choices; two or more "
                "choices with words and the number of the right one, from 0, were expected"
            )


@dataclass(frozen=True, slots=True)
class Score:
    """How many were right."""

    questions: int
    """That were asked."""
    right: int
    """By the sum of log-probabilities."""
    right_a_byte: int
    """By that sum over the choice's bytes, which doesn't favour short choices."""
    shortened: int = 0
    """Of those asked, how many lost their beginning to the context, solved questions before them first."""
    too_long: int = 0
    """That were not asked: with a choice, and the end of the question before it, the context can't hold."""

    @property
    def accuracy(self) -> float:
        """Share right by bytes; NaN where nothing was asked."""
        return self.right_a_byte / self.questions if self.questions else math.nan

    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval (low, high), Wilson's score interval.

        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Unlike the
        usual p +- z sqrt(p (1 - p) / n) it is not of no width where none or all are right, and never leaves [0, 1].
        """
        if not self.questions:
            return 0.0, 1.0
        share, weight = self.accuracy, _Z**2 / self.questions
        middle = (share + weight / 2) / (1 + weight)
        half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
        return (middle - half if share else 0.0), (middle + half if share < 1 else 1.0)


def ask(
    decoder: Decoder, tokenizer: Tokenizer, questions: Sequence[Question], context: int, shots: Sequence[Question] = ()
) -> Score:
    """Scores every choice of every question.

    Args:
      decoder: The model.
      tokenizer: Its tokenizer.
      questions: What is asked.
      context: The model's; a longer prompt loses its beginning, a choice never any of its tokens.
      shots: Solved questions that stand before each one.
    """
    before = "".join(f"{q.question} {q.choices[q.answer]}\n\n" for q in shots)
    rows = [_rows(question, tokenizer, before) for question in questions]
    asked = [(question, own) for question, own in zip(questions, rows, strict=True) if own.over(context) <= own.spare]
    starts = [max(0, own.over(context)) for _, own in asked]
    beginnings = [own.beginning[start:] for (_, own), start in zip(asked, starts, strict=True)]
    found = continued(decoder, beginnings, [own.endings for _, own in asked])
    right = right_a_byte = 0
    for (question, own), scores in zip(asked, found, strict=True):
        sums = np.array([each[-length:].sum() for each, length in zip(scores, own.lengths, strict=True)])
        sizes = np.array([len(choice.encode()) for choice in question.choices])
        right += _is_likeliest(sums, question.answer)
        right_a_byte += _is_likeliest(sums / sizes, question.answer)
    return Score(len(asked), right, right_a_byte, sum(start > 0 for start in starts), len(questions) - len(asked))


@dataclass(frozen=True, slots=True)
class _Rows:
    """A question's ids with each choice."""

    beginning: Ids
    """What the rows of all choices begin with, no token of a choice among it; one token at least."""
    endings: Sequence[Ids]
    """What follows, a choice each."""
    lengths: Sequence[int]
    """How many of an ending's last tokens are the choice's."""

    def over(self, context: int) -> int:
        """How many tokens the longest row has too many."""
        return len(self.beginning) + max(map(len, self.endings)) - context

    @property
    def spare(self) -> int:
        """How many tokens the rows may lose: all choices lose as much, and are read behind one at least."""
        return len(self.beginning) - 1


def _rows(question: Question, tokenizer: Tokenizer, before: str) -> _Rows:
    asked = before + question.question
    prompt = tokenizer.encode_prompt(asked)
    wholes = [tokenizer.encode_prompt(f"{asked} {choice}") for choice in question.choices]
    lengths = [max(1, len(whole) - _alike(prompt, whole)) for whole in wholes]
    cut = max(0, min(len(whole) - length for whole, length in zip(wholes, lengths, strict=True)))
    beginning = wholes[0][:cut] or [tokenizer.eos_id]  # without a question, what stands before most documents
    return _Rows(np.array(beginning, np.int64), [np.array(whole[cut:], np.int64) for whole in wholes], lengths)


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _is_likeliest(scores: NDArray[np.float64], answer: int) -> bool:
    """A tie is no answer: the first of equals would be right wherever the first choice is."""
    return bool(scores[answer] > np.delete(scores, answer).max())
