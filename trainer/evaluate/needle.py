"""A needle in a haystack: a number told once, far back in other text, and asked for at the end."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from trainer.errors import TrainerError
from trainer.evaluate.log_probs import log_probs
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in the haystack the needle lies."""
CHOICES = 4
"""The right number and three others: chance finds a quarter."""


def needle(
    decoder: Decoder, tokenizer: Tokenizer, haystack: NDArray[np.integer], length: int, trials: int = 20, seed: int = 0
) -> float:
    """Share of needles that are found: the told number is likelier than three others.

    Args:
      decoder: the model.
      tokenizer: its tokenizer.
      haystack: ids of other text, used from changing places; repeated where it is shorter than needed.
      length: tokens of a whole prompt with its answer.
      trials: a fifth of them at each depth.
      seed: of numbers and places.

    Raises:
      TrainerError: the needle alone is longer than `length`.
    """
    rows: list[NDArray[np.int64]] = []
    answers: list[int] = []
    for trial in range(trials):
        random = np.random.Generator(np.random.Philox(key=xxh3_64_intdigest(f"needle {seed} {trial}".encode())))
        numbers = random.choice(np.arange(10, 100), CHOICES, replace=False)
        told = _ids(tokenizer, f" Code {numbers[0]}.")
        endings = [_ids(tokenizer, f" Code {number}.") for number in numbers]
        room = length - len(told) - max(map(len, endings))
        if room < 0 or len(haystack) == 0:
            raise TrainerError(f"a needle of {length - room} tokens and a haystack don't fit into {length} tokens")
        start = int(random.integers(0, len(haystack)))
        hay = np.resize(np.roll(haystack, -start), room).astype(np.int64)
        cut = round(DEPTHS[trial % len(DEPTHS)] * room)
        rows += [np.concatenate([hay[:cut], told, hay[cut:], ending]) for ending in endings]
        answers += [len(ending) for ending in endings]
    sums = [float(scores[-n:].sum()) for scores, n in zip(log_probs(decoder, rows), answers, strict=True)]
    found = np.array(sums).reshape(trials, CHOICES).argmax(1) == 0
    return float(found.mean())


def _ids(tokenizer: Tokenizer, text: str) -> Sequence[int]:
    """A text's ids without BOS or EOS."""
    ids = tokenizer.encode_documents([text])[0]
    return list(ids[(tokenizer.bos_id is not None) : -1])
