"""Tokens one after another, with a cache of keys and values."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from trainer.errors import TrainerError
from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder


def generate(
    decoder: Decoder,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_ids: Collection[int] = (),
    vocabulary: int | None = None,
) -> Iterator[int]:
    """What follows `ids`, a token at a time.

    Ends behind `max_new_tokens`, before a stop id (which is not given out), or where the context is full.

    Args:
      decoder: On any device.
      ids: At least one, fewer than the context holds.
      max_new_tokens: At most so many.
      temperature: Logits are divided by it; 0 takes the likeliest, of equals the one with the smallest id.
      top_p: Draws only from the likeliest tokens that together have this probability (nucleus sampling).
      seed: The token at a position is drawn by a number that depends on the seed and the position alone.
      stop_ids: Which end it.
      vocabulary: Ids from here on are never given: rows of the embedding that no token has. None: all may be.

    Raises:
      TrainerError: No ids, too many, or a temperature or top_p that can't be.
    """
    context = decoder.spec.context
    if not 0 < len(ids) < context:
        raise TrainerError(
            f"a prompt of {len(ids)!r} tokens can't be gone on with: the model's context is {context}, prompt and "
            "answer together; give between one token and one less than that"
        )
    if not temperature >= 0 or not 0 < top_p <= 1:
        raise TrainerError(f"temperature {temperature!r} must be 0 or more, top_p {top_p!r} above 0 and at most 1")
    return _tokens(decoder, list(ids), max_new_tokens, temperature, top_p, seed, stop_ids, vocabulary)


def _tokens(
    decoder: Decoder, ids: list[int], max_new_tokens: int, temperature: float, top_p: float, seed: int,
    stop_ids: Collection[int], vocabulary: int | None,
) -> Iterator[int]:  # fmt: skip
    weight = decoder.output_weight
    last = min(len(ids) + max_new_tokens, decoder.spec.context)
    cache = KeyValueCache(decoder.spec, 1, last, dtype=weight.dtype, device=weight.device)
    unread = ids
    for place in range(len(ids), last):
        logits = _next_logits(decoder, torch.tensor([unread], device=weight.device), cache)[:vocabulary]
        number = _choose(logits, temperature, top_p, seed, place)
        if number in stop_ids:
            return
        yield number
        unread = [number]


@torch.inference_mode()
def _next_logits(decoder: Decoder, tokens: Tensor, cache: KeyValueCache) -> Tensor:
    """[vocab_size], float64, on the CPU."""
    hidden = decoder.forward(tokens, cache=cache)  # not the compiled one, which would compile for every length
    return decoder.logits(hidden[0, -1]).double().cpu()


def _choose(logits: Tensor, temperature: float, top_p: float, seed: int, place: int) -> int:
    """One id of [n] logits."""
    if temperature == 0:
        return int(logits.argmax())
    order = logits.argsort(descending=True, stable=True)
    shares = (logits[order] / temperature).softmax(0).numpy().cumsum()
    kept = int(np.searchsorted(shares, top_p * shares[-1])) + 1
    drawn = np.random.Generator(np.random.Philox(key=[seed % 2**64, place])).random()
    return int(order[min(int(np.searchsorted(shares, drawn * shares[kept - 1], side="right")), kept - 1)])
