"""The likeliest continuation is the answer, with solved questions before it or not."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.trainer.evaluate.models import adding_eos, copier, decoder, habit, tokenizer
from trainer.errors import TrainerError
from trainer.evaluate.log_probs import Ids, continued, log_probs
from trainer.evaluate.multiple_choice import Question, Score, ask
from trainer.model.decoder import Decoder

OWN = tokenizer()
CATS = Question("Where did the cat sit? On the", ("mats", "cats", "sat"), 0)


def test_the_likeliest_is_the_answer() -> None:
    for answer, word in enumerate(("mat", "cat")):
        question = Question("The", ("mat", "cat"), answer)
        assert ask(habit(OWN, **{word: 9.0}), OWN, [question], 64) == Score(1, 1, 1)
    wrong = Question("The", ("mat", "cat"), 1)
    assert ask(habit(OWN, mat=9.0), OWN, [wrong, wrong], 64) == Score(2, 0, 0)


def test_a_tie_is_no_answer() -> None:
    for answer in range(3):
        question = Question("The", ("cat", "sat", "mat"), answer)
        assert ask(habit(OWN, cat=4.0, sat=4.0, mat=4.0), OWN, [question], 64) == Score(1, 0, 0)


def test_by_bytes_long_choices_are_not_wronged() -> None:
    """Two likely words in a row are less likely than one, but likelier a byte than a short unlikely one."""
    question = Question("It:", ("cat sat mat cat sat mat", "x"), 0)
    score = ask(habit(OWN, cat=4.0, sat=4.0, mat=4.0, x=3.5), OWN, [question], 64)
    assert score == Score(1, 0, 1)


def test_solved_questions_stand_before() -> None:
    """A copier answers as the solved one was answered, and knows nothing without it."""
    solved = [Question("A 3 B?", ("cat", "mat"), 1)]
    assert ask(copier(OWN), OWN, [Question("A 3 B?", ("cat", "mat"), 1)], 64, solved) == Score(1, 1, 1)
    assert ask(copier(OWN), OWN, [Question("A 3 B?", ("cat", "mat"), 0)], 64, solved) == Score(1, 0, 0)


def test_scores_are_of_the_choice_alone() -> None:
    """As scored by hand from the whole sequence, its beginning lost where it is longer than the context."""
    model = decoder(OWN, context=16)
    sums = []
    for choice in CATS.choices:
        whole = OWN.encode(f"{CATS.question} {choice}")[-16:]
        own = len(OWN.encode_text(f" {choice}"))
        (scores,) = log_probs(model, [np.array(whole)])
        sums.append(float(scores[-own:].sum()))
    right = max(range(3), key=sums.__getitem__)
    assert ask(model, OWN, [CATS], 16).right == (right == CATS.answer)
    assert ask(model, OWN, [Question(CATS.question, CATS.choices, right)], 16).right == 1


def test_an_end_that_the_tokenizer_adds_is_neither_read_nor_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[list[int]]] = []

    def remembered(model: Decoder, beginnings: Sequence[Ids], endings: Sequence[Sequence[Ids]]) -> Any:
        read.append([list(map(int, ids)) for ids in (*beginnings, *endings[0])])
        return continued(model, beginnings, endings)

    monkeypatch.setattr("trainer.evaluate.multiple_choice.continued", remembered)
    scores = [ask(decoder(OWN), own, [CATS], 64, [CATS]) for own in (OWN, adding_eos())]
    assert scores[0] == scores[1]
    assert read[0] == read[1]
    assert OWN.decode(read[1][0] + read[1][2]) == f"{CATS.question} mats\n\n{CATS.question} cats"


def test_without_a_question_all_of_a_choice_is_scored() -> None:
    """The first token too, or choices of one would win."""
    question = Question("", ("cat sat", "mat"), 0)
    assert ask(habit(OWN, cat=9.0, sat=9.0), OWN, [question], 64) == Score(1, 1, 1)
    assert ask(habit(OWN, mat=9.0), OWN, [question], 64) == Score(1, 0, 0)


def test_a_choice_the_context_can_not_hold_is_not_asked() -> None:
    """It would be scored by some of its tokens over all of its bytes, and win."""
    model = decoder(OWN, context=16)
    word = len(OWN.encode_text(" cat"))
    assert len(OWN.encode_text(" cat" * 7)) == 7 * word
    held = (16 - 1) // word
    fits, nonsense = ("mat", "cat" + " cat" * (held - 1)), ("mat", "cat" + " cat" * held)
    assert ask(model, OWN, [Question("The", fits, 0)], 16).questions == 1
    assert ask(model, OWN, [Question("The", nonsense, 1)], 16) == Score(0, 0, 0, too_long=1)
    assert ask(model, OWN, [Question("The", nonsense, 1), CATS], 16, [CATS]).too_long == 1


def test_a_prompt_that_loses_its_beginning_is_counted() -> None:
    model = habit(OWN, mat=9.0)
    asked = Question("The", ("mat", "cat"), 0)
    size = max(len(OWN.encode(f"The {choice}")) for choice in asked.choices)
    assert ask(model, OWN, [asked], size) == Score(1, 1, 1)
    assert ask(model, OWN, [Question("12 The", asked.choices, 0), asked], size) == Score(2, 2, 2, shortened=1)
    assert ask(model, OWN, [asked], size, [CATS]) == Score(1, 1, 1, shortened=1)


@pytest.mark.parametrize(("choices", "answer"), [(("a",), 0), (("a", "b"), 2), (("a", "b"), -1), (("a", ""), 0)])
def test_questions_that_are_none(choices: tuple[str, ...], answer: int) -> None:
    with pytest.raises(TrainerError, match=rf"question 'What\?': answer {answer} of {len(choices)} choices"):
        Question("What?", choices, answer)


def test_accuracy_is_by_bytes() -> None:
    assert Score(100, 10, 50).accuracy == 0.5
    assert math.isnan(Score(0, 0, 0).accuracy)


@pytest.mark.parametrize(
    ("right", "questions", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (0, 1, 0.0, 0.79345),
        (50, 100, 0.40383, 0.59617),
        (3, 100, 0.01025, 0.08452),
    ],
)
def test_the_interval_is_wilsons(right: int, questions: int, low: float, high: float) -> None:
    """The bounds solve |p - share| = z sqrt(p (1 - p) / n)."""
    found = Score(questions, 0, right).interval()
    assert found == pytest.approx((low, high), abs=1e-5)
    assert 0 <= found[0] <= found[1] <= 1
    for bound in found:
        if 0 < bound < 1:
            off = abs(bound - right / questions)
            assert off == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / questions))
