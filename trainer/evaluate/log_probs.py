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
    decoder: Decoder, rows: Sequence[NDArray[np.integer]], tokens_at_once: int = TOKENS_AT_ONCE
) -> list[NDArray[np.float64]]:
    """Natural logarithms of the probability of each token after its row's first.

    Rows are padded at their ends, which causal attention can't see, and grouped by length; the order they are given in
    is the order of the answers.

    Args:
      decoder: on any device; it is put into evaluation mode and back.
      rows: [n] of ids; a row longer than the decoder's context is an error of the caller's.
      tokens_at_once: bounds memory; a longer row goes alone.

    Returns:
      [n] of [len(row) - 1], empty for rows of fewer than two tokens.
    """
    device = next(decoder.parameters()).device
    answers: list[NDArray[np.float64]] = [np.zeros(0)] * len(rows)
    training = decoder.training
    decoder.eval()
    for group in _groups(rows, tokens_at_once):
        ids = pad_sequence([torch.as_tensor(rows[n].astype(np.int64)) for n in group], batch_first=True).to(device)
        hidden = decoder.forward(ids[:, :-1])  # not the compiled one, which would compile for every shape
        flat, wanted = hidden.flatten(0, 1), ids[:, 1:].flatten()
        scores = [
            decoder.logits(part).float().log_softmax(-1).gather(-1, at[:, None])[:, 0]
            for part, at in zip(flat.split(POSITIONS_AT_ONCE), wanted.split(POSITIONS_AT_ONCE), strict=True)
        ]
        table = torch.cat(scores).view(len(group), -1).double().cpu().numpy()
        for n, line in zip(group, table, strict=True):
            answers[n] = line[: len(rows[n]) - 1]
    decoder.train(training)
    return answers


def _groups(rows: Sequence[NDArray[np.integer]], tokens_at_once: int) -> list[list[int]]:
    """Numbers of rows of at least two tokens, by falling length, as many together as fit."""
    groups: list[list[int]] = []
    for n in sorted((n for n, row in enumerate(rows) if len(row) > 1), key=lambda n: (-len(rows[n]), n)):
        if not groups or (len(groups[-1]) + 1) * len(rows[groups[-1][0]]) > tokens_at_once:
            groups.append([])
        groups[-1].append(n)
    return groups
