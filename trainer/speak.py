"""Text out of a trained model: an answer in a conversation, or what a text goes on with."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from schemas.chat import Message
from trainer.chat.template import render
from trainer.errors import PromptError
from trainer.model.generate import generate
from trainer.tokenizer.special import THINK, THOUGHT
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.trained import Trained

_ROOM = 4
"""Of a context one token in so many is kept free for an answer, where that may be as long."""
_HALF = "\N{REPLACEMENT CHARACTER}"
"""What an unfinished character decodes to."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what is said in a turn."""

    text: str
    reasoning: bool
    """Whether it is thought before the answer."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that is asked."""

    trained: Trained
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 256

    def recent(self, messages: Sequence[Message]) -> list[Message]:
        """A conversation without its oldest exchanges, where the context does not hold all of them and an answer.

        Args:
          messages: The system's, where there is one, which stays; then user and assistant in turns, the user last.

        Raises:
          PromptError: The last question alone is too long.
        """
        kept, context = list(messages), self.trained.decoder.spec.context
        first = int(kept[0].role == "system")
        room = context - min(self.max_tokens, context // _ROOM)
        while (size := len(self._prompt(kept))) > room and len(kept) > first + 1:
            del kept[first : first + 2]
        self._check(size)
        return kept

    def turn(self, messages: Sequence[Message]) -> Iterator[Piece]:
        """The assistant's next turn, piece by piece; the tokens around its reasoning are left out."""
        prompt = self._prompt(messages)
        marks = _marks(self.trained.tokenizer)
        opened = any(marks.get(n, False) for n in prompt[-2:])  # by templates whose prompt begins the reasoning
        for reasoning, run in groupby(_told_apart(self._numbers(prompt), marks, opened), itemgetter(0)):
            for text in self._texts(number for _, number in run):
                yield Piece(text, reasoning)

    def answers(self, messages: Sequence[Message]) -> Iterator[str]:
        """The same without the reasoning."""
        return (piece.text for piece in self.turn(messages) if not piece.reasoning)

    def goes_on(self, text: str) -> Iterator[str]:
        """What follows a text."""
        return self._texts(self._numbers(self.trained.tokenizer.encode_prompt(text)))

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        return [int(n) for n in render(messages, self.trained.tokenizer, answer=False)[0]]

    def _check(self, size: int) -> None:
        if size >= (context := self.trained.decoder.spec.context):
            raise PromptError(
                f"the prompt takes {size} tokens, the model's context holds {context} with the answer; ask something "
                "shorter"
            )

    def _numbers(self, prompt: list[int]) -> Iterator[int]:
        decoder, tokenizer = self.trained.decoder, self.trained.tokenizer
        self._check(len(prompt))
        return generate(
            decoder,
            prompt,
            max_new_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop_ids=tokenizer.end_ids,
            vocabulary=tokenizer.largest_id + 1,  # the embedding may have more rows, which were never trained
        )

    def _texts(self, numbers: Iterable[int]) -> Iterator[str]:
        """Ids as text, no piece of which ends in half a character.

        Each piece is decoded behind the one before, on which its first space can depend, and not behind all of them.
        `tokenizers.decoders.DecodeStream` does so too, but fails at bytes that are no text, and keeps unfinished ends.
        """
        decode = self.trained.tokenizer.decode
        before: list[int] = []
        ids: list[int] = []
        text = ""
        for number in numbers:
            ids.append(number)
            text = decode([*before, *ids])[len(decode(before)) :]
            if text and not text.endswith(_HALF):
                yield text
                before, ids, text = ids, [], ""
        if rest := text.rstrip(_HALF):  # before a character that stays unfinished
            yield rest


def _marks(tokenizer: Tokenizer) -> Mapping[int, bool]:
    """The tokens around reasoning, True for the first; none where the vocabulary spells them."""
    opens, closes = (tokenizer.encode_whole(name) for name in (THINK, THOUGHT))
    return {opens[0]: True, closes[0]: False} if len(opens) == len(closes) == 1 else {}


def _told_apart(numbers: Iterable[int], marks: Mapping[int, bool], reasoning: bool) -> Iterator[tuple[bool, int]]:
    """Each id with whether it is reasoning, marks left out; `reasoning` holds for the first ones."""
    for number in numbers:
        if number in marks:
            reasoning = marks[number]
        else:
            yield reasoning, number
