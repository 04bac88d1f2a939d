"""Direct preference optimisation (Rafailov et al., 2305.18290), with Llama 3.1's likelihood term (2407.21783).

`-log sigmoid(beta * h)` of a pair, where h = (log p(chosen) - log p(rejected)) of the policy less that of the
reference, log p(answer) being the sum over the answer's tokens. `nll` adds the chosen answer's negative log-likelihood,
divided by its own tokens (Pang et al., 2404.19733), so that a long answer weighs like a short one.

Pairs lie side by side: row 2k holds chosen answers, row 2k + 1 the rejected ones, and piece j of the one belongs to
piece j of the other (`trainer.plan.pairs`).
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from schemas.training import LossSpec
from trainer.batch import Batch
from trainer.losses.hidden import hidden_states, is_compiled
from trainer.model.cross_entropy import token_losses
from trainer.model.decoder import Decoder


def dpo(decoder: Decoder, reference: Decoder, batch: Batch, spec: LossSpec) -> tuple[Tensor, Tensor]:
    """The loss over the batch's pairs.

    Args:
      decoder: The policy.
      reference: What it is held to; gets no gradient.
      batch: An even number of rows, pairs side by side.
      spec: beta and nll.

    Returns:
      (sum, count), scalars: over pairs, and how many there are. Rows that only fill a rank hold none.
    """
    where = one_hot(batch.documents.long() + 1, batch.pieces + 1)[..., 1:]  # [rows, seq, pieces]; padding is nowhere
    where = where * batch.weights[..., None]
    tokens = where.sum(1)
    policy = _answers(decoder, batch, where)
    with torch.no_grad():
        anchor = _answers(reference, batch, where)
    real = (tokens[0::2] > 0) & (tokens[1::2] > 0)
    ratio = policy - anchor
    loss = -logsigmoid(spec.beta * (ratio[0::2] - ratio[1::2]))
    if spec.nll:
        loss = loss - spec.nll * policy[0::2] / tokens[0::2].clamp(min=1)
    return (loss * real).sum(), real.sum()


def _answers(decoder: Decoder, batch: Batch, where: Tensor) -> Tensor:
    """[rows, pieces]: the log-probability of each piece's weighted tokens."""
    states, output = hidden_states(decoder, batch), decoder.output_weight
    scores = -token_losses(states, output, batch.targets, compiled=is_compiled(decoder))
    # index_add would sum in an order that is chance on a GPU, einsum in bfloat16 under autocast
    return (scores[..., None] * where).sum(1)
