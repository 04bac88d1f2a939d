"""The next token's cross-entropy: what pretraining and supervised fine-tuning minimise."""

from torch import Tensor

from trainer.batch import Batch
from trainer.losses.hidden import hidden_states, is_compiled
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder


def next_token(decoder: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Nats over the batch's targets.

    Supervised fine-tuning differs by its weights alone: 1 on what the assistant says, 0 on what it is told.

    Returns:
      (sum, count), scalars: the weighted sum of -log p(target), and the sum of the weights.
    """
    states, output = hidden_states(decoder, batch), decoder.output_weight
    return cross_entropy(states, output, batch.targets, batch.weights, compiled=is_compiled(decoder))
