"""Text out of a trained model: an answer in a conversation, or what a text goes on with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.chat import Message
from trainer.chat.template import render
from trainer.errors import TrainerError
from trainer.model.generate import generate
from trainer.trained import Trained

_HALF = "\N{REPLACEMENT CHARACTER}"
"""What an unfinished character decodes to."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that is asked."""

    trained: Trained
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 256

    def answers(self, messages: Sequence[Message]) -> Iterator[str]:
        """The assistant's next turn, piece by piece."""
        ids, _ = render(messages, self.trained.tokenizer, answer=False)
        return self._pieces([int(n) for n in ids])

    def goes_on(self, text: str) -> Iterator[str]:
        """What follows a text."""
        return self._pieces(self.trained.tokenizer.encode(text))

    def _pieces(self, prompt: list[int]) -> Iterator[str]:
        decoder, tokenizer = self.trained.decoder, self.trained.tokenizer
        if len(prompt) >= decoder.spec.context:
            raise TrainerError(
                f"the prompt takes {len(prompt)} tokens, the model's context holds {decoder.spec.context} with the "
                "answer; ask something shorter"
            )
        numbers = generate(
            decoder,
            prompt,
            max_new_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop_ids=tokenizer.end_ids,
            vocabulary=tokenizer.largest_id + 1,  # the embedding may have more rows, which were never trained
        )
        ids: list[int] = []
        told = 0
        for number in numbers:
            ids.append(number)
            text = tokenizer.decode(ids)
            if not text.endswith(_HALF) and len(text) > told:
                yield text[told:]
                told = len(text)
        if rest := tokenizer.decode(ids).rstrip(_HALF)[told:]:  # before a character that stays unfinished
            yield rest
