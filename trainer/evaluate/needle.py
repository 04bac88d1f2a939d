"""A needle in a haystack: a number told once, far back in other text, and asked for at the end.

The prompt is one document, [BOS] and text, whatever documents the haystack is made of: behind an end between needle and
question a model has no reason to look back.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from trainer.errors import TrainerError
from trainer.evaluate.log_probs import Ids, continued
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in the haystack the needle lies."""
CHOICES = 4
"""The right number and three others: chance finds a quarter."""
_NUMBERS = range(10, 100)


def needle(
    decoder: Decoder, tokenizer: Tokenizer, haystack: NDArray[np.integer], length: int, trials: int = 20, seed: int = 0
) -> float:
    """Share of needles that are found: the told number is likelier than three others.

    Args:
      decoder: The model.
      tokenizer: Its tokenizer.
      haystack: Ids of documents, used from changing places, what begins and ends them left out; repeated where it is
        shorter than needed.
      length: Tokens of a whole prompt with its answer, at least `shortest_row`.
      trials: A fifth of them at each depth.
      seed: Of numbers and places.

    Raises:
      TrainerError: There is no haystack, or a needle does not fit into `length`.
    """
    least = shortest_row(tokenizer)
    begins = _begins(tokenizer)
    haystack = haystack[~np.isin(haystack, [*begins, tokenizer.eos_id])].astype(np.int64)
    if length < least or len(haystack) == 0:
        raise TrainerError(
            f"needles take {least} tokens, there are {length}, and {len(haystack)} of other text; give more of either"
        )
    beginnings: list[Ids] = []
    endings: list[list[Ids]] = []
    for trial in range(trials):
        random = np.random.Generator(np.random.Philox(key=xxh3_64_intdigest(f"needle {seed} {trial}".encode())))
        needles = _needles(tokenizer, random.choice(np.array(_NUMBERS), CHOICES, replace=False))
        told = needles[0]
        room = length - len(begins) - len(told) - max(map(len, needles))
        hay = np.resize(np.roll(haystack, -int(random.integers(0, len(haystack)))), room)
        cut = round(DEPTHS[trial % len(DEPTHS)] * room)
        beginnings.append(np.concatenate([begins, hay[:cut], told, hay[cut:]]))
        endings.append([np.array(ids) for ids in needles])
    sums = np.array([[scores.sum() for scores in each] for each in continued(decoder, beginnings, endings)])
    return float((sums[:, 0] > sums[:, 1:].max(1)).mean())  # a model to which all are alike finds none


def haystack(tokenizer: Tokenizer, texts: Iterable[str], size: int) -> NDArray[np.integer]:
    """Ids of the first texts, each as training reads a document, until there are `size`; fewer where texts end."""
    found: list[NDArray[np.integer]] = []
    held = 0
    for text in filter(None, texts):
        found += tokenizer.encode_documents([text])
        held += len(found[-1])
        if held >= size:
            break
    return np.concatenate(found)[:size] if found else np.zeros(0, tokenizer.dtype)


def shortest_row(tokenizer: Tokenizer) -> int:
    """Tokens of a row that holds any needle twice, told and asked for, and nothing else."""
    return len(_begins(tokenizer)) + 2 * max(map(len, _needles(tokenizer, _NUMBERS)))


def _begins(tokenizer: Tokenizer) -> Ids:
    """What stands before a document."""
    return np.array([] if tokenizer.bos_id is None else [tokenizer.bos_id], np.int64)


def _needles(tokenizer: Tokenizer, numbers: Sequence[int] | NDArray[np.integer]) -> list[list[int]]:
    """Ids of what is told of each number."""
    return tokenizer.encode_texts([f" Code {number}." for number in numbers])
