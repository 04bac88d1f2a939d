"""Generation, a token at a time, over a cache of keys and values."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from trainer.errors import TrainerError
from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder


def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_ids: AbstractSet[int] = frozenset(),
) -> Iterator[int]:
    """What the model says after a prompt, until an id of `stop_ids` (not given), the context's end or the limit.

    Args:
      decoder: The model, on any device.
      prompt: Ids, one at least.
      max_new_tokens: At most so many.
      temperature: 0 takes the likeliest id, the lowest of equals; else logits are divided by it.
      top_p: Only the likeliest ids whose probabilities together reach it are drawn from.
      seed: Of the draws, made on the CPU: alike on every device but for the last bits of logits.
      stop_ids: Ids that end it.

    Raises:
      TrainerError: An empty prompt, one that fills the context, or a temperature or top_p out of range.
    """
    context = decoder.spec.context
    if not 0 < len(prompt) < context:
        raise TrainerError(f"a prompt of {len(prompt)} tokens: give 1 to {context - 1}, the context holds {context}")
    if not (temperature >= 0 and 0 < top_p <= 1):
        raise TrainerError(f"temperature {temperature!r} must be 0 or more, top_p {top_p!r} above 0 and at most 1")
    weight = decoder.output_weight
    device, limit = weight.device, min(max_new_tokens, context - len(prompt))
    generator = torch.Generator().manual_seed(seed)
    cache = KeyValueCache(decoder.spec, 1, len(prompt) + limit, dtype=weight.dtype, device=device)
    following = torch.tensor([list(prompt)], device=device)
    for _ in range(limit):
        with torch.inference_mode():
            # not the compiled forward pass, which would compile for every length
            logits = decoder.logits(decoder.forward(following, cache=cache)[:, -1])[0]
        number = _drawn(logits.cpu(), temperature, top_p, generator)
        if number in stop_ids:
            return
        yield number
        following = torch.tensor([[number]], device=device)


def _drawn(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    weights, ids = (logits.double() / temperature).softmax(-1).sort(descending=True, stable=True)
    kept = weights.cumsum(-1) - weights < top_p  # the likeliest always
    return int(ids[torch.multinomial(weights * kept, 1, generator=generator)])
