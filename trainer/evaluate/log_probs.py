"""The log-probability of every token of given texts: what all evaluations are made of."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder

Ids = NDArray[np.integer]

TOKENS_AT_ONCE = 8_192
"""Positions, padding included, that go through the model together."""
POSITIONS_AT_ONCE = 1_024
"""Positions whose logits over the vocabulary are held at once."""


@torch.inference_mode()
def log_probs(
    decoder: Decoder, rows: Sequence[Ids], last: Sequence[int] | None = None, tokens_at_once: int = TOKENS_AT_ONCE
) -> list[NDArray[np.float64]]:
    """Natural logarithms of the probability of each token after its row's first.

    Rows are padded at their ends, which causal attention can't see, and grouped by length; the order they are given in
    is the order of the answers.

    Args:
      decoder: On any device.
      rows: [n] of ids; a row longer than the decoder's context is an error of the caller's.
      last: [n] How many of each row's last tokens are asked for; None, or more than there are: all.
      tokens_at_once: Bounds memory; a longer row goes alone.

    Returns:
      [n] of [len(row) - 1], or of what `last` says; empty for rows of fewer than two tokens.
    """
    answers: list[NDArray[np.float64]] = [np.zeros(0)] * len(rows)
    for group in _groups(rows, tokens_at_once):
        own = [rows[n] for n in group]
        sizes = [len(row) - 1 for row in own]
        if last is not None:
            sizes = [min(size, last[n]) for size, n in zip(sizes, group, strict=True)]
        for n, scores in zip(group, _scored(decoder, own, sizes), strict=True):
            answers[n] = scores
    return answers


@torch.inference_mode()
def continued(
    decoder: Decoder,
    beginnings: Sequence[Ids],
    endings: Sequence[Sequence[Ids]],
    tokens_at_once: int = TOKENS_AT_ONCE,
) -> list[list[NDArray[np.float64]]]:
    """As `log_probs`, of the tokens of several endings of each beginning, which is read once.

    Its keys and values stay meanwhile, 2 x kv_dim numbers a layer and position: training on as long a row keeps several
    times as many, or about as many where it checkpoints activations.

    Args:
      decoder: On any device.
      beginnings: [n] of ids.
      endings: [n] of any number of ids each; one that is longer than the context leaves is an error of the caller's.
      tokens_at_once: Bounds memory; a beginning that is longer with its longest ending goes alone.

    Returns:
      [n] of [endings] of [len(ending)]; behind an empty beginning an ending's first token is only read.
    """
    answers = [[np.zeros(0)] * len(own) for own in endings]
    weight = next(decoder.parameters())
    kind = weight.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    for group in _alike(beginnings, endings, tokens_at_once):
        read = np.stack([beginnings[n][:-1] for n in group]).astype(np.int64)
        room = read.shape[1] + max((len(ending) for n in group for ending in endings[n]), default=0)
        cache = KeyValueCache(decoder.spec, len(group), room, dtype=dtype, device=weight.device)
        if read.size:
            decoder.forward(torch.as_tensor(read, device=weight.device), cache=cache)
        for turn in range(max(len(endings[n]) for n in group)):
            ends = [endings[n][turn] if turn < len(endings[n]) else beginnings[n][:0] for n in group]
            rows = [np.concatenate([beginnings[n][-1:], end]) for n, end in zip(group, ends, strict=True)]
            cache.rewind(read.shape[1])
            scored = _scored(decoder, rows, [max(0, len(row) - 1) for row in rows], cache)
            for n, scores in zip(group, scored, strict=True):
                if turn < len(endings[n]):
                    answers[n][turn] = scores
    return answers


def _scored(
    decoder: Decoder, rows: Sequence[Ids], sizes: Sequence[int], cache: KeyValueCache | None = None
) -> list[NDArray[np.float64]]:
    """Of rows that go through the model together, behind what a cache holds, each one's last `sizes` tokens."""
    device = next(decoder.parameters()).device
    ids = pad_sequence([torch.as_tensor(row.astype(np.int64)) for row in rows], batch_first=True)
    if not any(sizes):
        return [np.zeros(0)] * len(rows)
    width = ids.shape[1] - 1
    stops = [len(row) - 1 + n * width for n, row in enumerate(rows)]
    index = torch.cat([torch.arange(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)])
    targets = ids[:, 1:].flatten()[index].to(device)
    # not the compiled forward pass, which would compile for every shape
    hidden = decoder.forward(ids[:, :-1].to(device), cache=cache).flatten(0, 1)[index.to(device)]
    scores = [
        decoder.logits(part).log_softmax(-1).gather(-1, at[:, None])[:, 0].double()
        for part, at in zip(
            torch.split(hidden, POSITIONS_AT_ONCE), torch.split(targets, POSITIONS_AT_ONCE), strict=True
        )
    ]
    return np.split(torch.cat(scores).cpu().numpy(), np.cumsum(sizes)[:-1])


def _groups(rows: Sequence[Ids], tokens_at_once: int) -> list[list[int]]:
    """Numbers of rows of at least two tokens, by falling length, as many together as fit."""
    groups: list[list[int]] = []
    for n in sorted((n for n, row in enumerate(rows) if len(row) > 1), key=lambda n: (-len(rows[n]), n)):
        if not groups or (len(groups[-1]) + 1) * len(rows[groups[-1][0]]) > tokens_at_once:
            groups.append([])
        groups[-1].append(n)
    return groups


def _alike(beginnings: Sequence[Ids], endings: Sequence[Sequence[Ids]], tokens_at_once: int) -> list[list[int]]:
    """Numbers of beginnings of one length each, as many together as fit with the longest ending among them."""
    longest = [max(map(len, own), default=0) for own in endings]
    groups: list[list[int]] = []
    for n in sorted(range(len(beginnings)), key=lambda n: (-len(beginnings[n]), -longest[n], n)):
        first = groups[-1][0] if groups else n
        width = len(beginnings[first]) + longest[first]
        if not groups or len(beginnings[first]) != len(beginnings[n]) or (len(groups[-1]) + 1) * width > tokens_at_once:
            groups.append([])
        groups[-1].append(n)
    return groups
