"""A small decoder, and batches with several documents a row."""

from collections.abc import Sequence

import torch
from torch import Tensor

from schemas.training import ModelSpec
from trainer.batch import Batch
from trainer.model.decoder import Decoder

VOCABULARY = 50
Document = tuple[list[int], list[int]]
"""Ids and mask."""


def decoder(seed: int, dtype: torch.dtype = torch.float64) -> Decoder:
    """With every parameter random, so that nothing hides behind zeros and ones."""
    spec = ModelSpec(family="llama", layers=2, dim=16, heads=2, ffn_dim=32, context=64)
    made = Decoder(spec, VOCABULARY)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4 + (parameter.ndim == 1))
    return made.to(dtype)


def document(size: int, prompt: int, seed: int) -> Document:
    """Random ids, the first `prompt` of them no targets."""
    ids = torch.randint(VOCABULARY, (size,), generator=torch.Generator().manual_seed(seed)).tolist()
    return ids, [0] * prompt + [1] * (size - prompt)


def batch(rows: Sequence[Sequence[Document]], seq_len: int) -> Batch:
    """Documents one behind the other in each row, as the loader lays them."""
    tokens, targets, positions = (torch.zeros(len(rows), seq_len, dtype=torch.int64) for _ in range(3))
    weights = torch.zeros(len(rows), seq_len)
    documents = torch.full((len(rows), seq_len), -1, dtype=torch.int32)
    for row, members in enumerate(rows):
        at = 0
        for number, (ids, mask) in enumerate(members):
            place = slice(at, at + len(ids) - 1)
            after = torch.tensor(mask[1:])
            tokens[row, place], targets[row, place] = torch.tensor(ids[:-1]), torch.tensor(ids[1:]) * after
            weights[row, place], documents[row, place] = after.float(), number
            positions[row, place] = torch.arange(len(ids) - 1)
            at = place.stop
    return Batch(tokens, targets, weights, documents, positions, max(map(len, rows)))


def log_prob(model: Decoder, one: Document) -> Tensor:
    """By hand: the document alone, all logits, the sum over its masked-in tokens."""
    ids, mask = one
    logits = model.logits(model(torch.tensor([ids])))[0]
    scores = logits[:-1] - logits[:-1].exp().sum(-1, keepdim=True).log()
    return sum(
        (scores[n, ids[n + 1]] for n in range(len(ids) - 1) if mask[n + 1]), torch.zeros((), dtype=torch.float64)
    )
