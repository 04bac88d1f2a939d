"""Loss and bits per byte on held-out texts, in all and by language or domain."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluate.log_probs import log_probs
from trainer.model.decoder import Decoder
from trainer.tokenizer.token_bytes import token_bytes
from trainer.tokenizer.tokenizer import Tokenizer

TEXTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the groups it is counted in: `{"language": "ko", "domain": "example.org"}`."""

    text: str
    groups: Mapping[str, str]


@dataclass(slots=True)
class Loss:
    """Sums over scored tokens. A text's first token is context, never scored."""

    nats: float = 0.0
    targets: int = 0
    bytes: int = 0
    """UTF-8 bytes of the scored tokens; special tokens have none."""
    texts: int = 0

    @property
    def loss(self) -> float:
        """Nats a target; NaN where nothing was scored."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Of the scored tokens' bytes: comparable between tokenizers, as the loss is not."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan

    def add(self, nats: float, targets: int, size: int) -> None:
        """One text more."""
        self.nats += nats
        self.targets += targets
        self.bytes += size
        self.texts += 1


def evaluate(
    decoder: Decoder, tokenizer: Tokenizer, texts: Iterable[Text], context: int
) -> tuple[Loss, dict[str, dict[str, Loss]]]:
    """Scores each text on its own, encoded as the exported tokenizer does by default and cut to the context.

    Args:
      decoder: The model.
      tokenizer: Its tokenizer.
      texts: Any number; read as they come.
      context: Tokens of a text that are read, its first included.

    Returns:
      The loss over all texts, and by group: `{"language": {"ko": Loss}}`. Texts of fewer than two tokens count as texts
      without targets.
    """
    sizes = token_bytes(tokenizer.json)
    whole = Loss()
    groups: dict[str, dict[str, Loss]] = defaultdict(lambda: defaultdict(Loss))
    for some in _batches(texts):
        rows = [np.asarray(tokenizer.encode(text.text)[:context], dtype=np.int64) for text in some]
        for text, row, scores in zip(some, rows, log_probs(decoder, rows), strict=True):
            told = (-float(scores.sum()), len(scores), int(sizes[row[1:]].sum()))
            for loss in (whole, *(groups[kind][name] for kind, name in text.groups.items() if name)):
                loss.add(*told)
    return whole, {kind: dict(by_name) for kind, by_name in groups.items()}


def _batches(texts: Iterable[Text]) -> Iterator[Sequence[Text]]:
    held: list[Text] = []
    for text in texts:
        held.append(text)
        if len(held) == TEXTS_AT_ONCE:
            yield held
            held = []
    if held:
        yield held
