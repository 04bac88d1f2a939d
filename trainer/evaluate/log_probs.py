"""The log-probability of every token of given texts: what all evaluations are made of."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from trainer.model.decoder import Decoder

TOKENS_AT_ONCE = 8_192
"""Positions, padding included, that go through the model together."""
POSITIONS_AT_ONCE = 1_024
"""Positions whose logits over the vocabulary are held at once."""


@torch.inference_mode()
def log_probs(
    decoder: Decoder,
    rows: Sequence[NDArray[np.integer]],
    last: Sequence[int] | None = None,
    tokens_at_once: int = TOKENS_AT_ONCE,
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
    device = next(decoder.parameters()).device
    answers: list[NDArray[np.float64]] = [np.zeros(0)] * len(rows)
    for group in _groups(rows, tokens_at_once):
        ids = pad_sequence([torch.as_tensor(rows[n].astype(np.int64)) for n in group], batch_first=True)
        wanted = [_wanted(len(rows[n]) - 1, None if last is None else last[n]) for n in group]
        width = ids.shape[1] - 1
        index = torch.cat([torch.arange(stop - size, stop) + row * width for row, (size, stop) in enumerate(wanted)])
        targets = ids[:, 1:].flatten()[index].to(device)
        # not the compiled forward pass, which would compile for every shape
        hidden = decoder.forward(ids[:, :-1].to(device)).flatten(0, 1)[index.to(device)]
        scores = [
            decoder.logits(part).log_softmax(-1).gather(-1, at[:, None])[:, 0].double()
            for part, at in zip(
                torch.split(hidden, POSITIONS_AT_ONCE), torch.split(targets, POSITIONS_AT_ONCE), strict=True
            )
        ]
        ends = np.cumsum([size for size, _ in wanted])
        for n, own in zip(group, np.split(torch.cat(scores).cpu().numpy(), ends[:-1]), strict=True):
            answers[n] = own
    return answers


def _wanted(targets: int, last: int | None) -> tuple[int, int]:
    """How many positions of a row are scored, and where they end."""
    return (targets if last is None else min(last, targets)), targets


def _groups(rows: Sequence[NDArray[np.integer]], tokens_at_once: int) -> list[list[int]]:
    """Numbers of rows of at least two tokens, by falling length, as many together as fit."""
    groups: list[list[int]] = []
    for n in sorted((n for n, row in enumerate(rows) if len(row) > 1), key=lambda n: (-len(rows[n]), n)):
        if not groups or (len(groups[-1]) + 1) * len(rows[groups[-1][0]]) > tokens_at_once:
            groups.append([])
        groups[-1].append(n)
    return groups
