"""A batch's way through the decoder."""

from torch import Tensor, nn

from trainer.batch import Batch
from trainer.model.attention import packed
from trainer.model.decoder import Decoder


def is_compiled(model: nn.Module) -> bool:
    """Whether it is compiled in place, so that a loss may compile its own part."""
    return model._compiled_call_impl is not None


def hidden_states(decoder: Decoder, batch: Batch) -> Tensor:
    """[rows, seq, dim], each document for itself.

    On a CPU rows of one document each are spared the mask, which changes no bit. A GPU would have to be waited for to
    know whether they are.
    """
    masked = batch.documents.is_cuda or packed(batch.documents)
    found: Tensor = decoder(batch.tokens, positions=batch.positions, documents=batch.documents if masked else None)
    return found
