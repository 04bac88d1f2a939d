"""A trained model to go on from, evaluate, export or talk to: a run's output, a checkpoint, or Hugging Face's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from schemas.training import ModelSpec
from trainer.errors import TrainerError
from trainer.model import hf, hf_config
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint
from trainer.train.checkpoint import Checkpoint
from trainer.train.identity import see_tokenizer
from trainer.train.ranks import device_named

CHECKPOINTS, TOKENIZER = "checkpoints", "tokenizer"
MODEL = "model"
"""The fact of a checkpoint's state that holds the model's shape, as stages have changed it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights with their tokenizer."""

    decoder: Decoder
    tokenizer: Tokenizer
    checkpoint: Checkpoint | None
    """None for a Hugging Face folder."""


def open_trained(
    path: str | Path,
    *,
    average: bool = True,
    weights: bool = True,
    device: str = "cpu",
    note: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Opens a model.

    Args:
      path: A run's output, whose newest sound checkpoint is taken; one of its checkpoints
        (`OUT/checkpoints/step-…`); or a Hugging Face folder.
      average: Takes the Polyak average where the checkpoint holds one.
      weights: False reads shape and tokenizer alone: the decoder lies on torch's `meta` device.
      device: Where the weights go.
      note: Is told of checkpoints that are not whole and passed over.

    Raises:
      TrainerError: It is none of the three; or there is no such device.
      IntegrityError: Checkpoints are there, and none is whole; or the run's tokenizer is not the one it was trained
        with.
    """
    folder = Path(path).resolve()
    place = device_named(device)
    if (folder / "config.json").is_file():
        if weights:
            decoder = _decoder(*hf.load(folder), place)
        else:
            decoder = _without_weights(*hf_config.read(folder / hf.CONFIG))
        return Trained(decoder, Tokenizer.load(folder), None)
    if (folder / checkpoint.MARKER).is_file():
        found, run = checkpoint.opened(folder), folder.parents[1]
    else:
        latest = checkpoint.latest(folder / CHECKPOINTS, note)
        if latest is None:
            raise TrainerError(
                f"{str(path)!r} holds no model: neither checkpoints/ of a run nor a Hugging Face config.json; give the "
                "--output of `gristmill train`, or a folder that `gristmill export` made"
            )
        found, run = latest, folder
    see_tokenizer(run, run / TOKENIZER)
    spec = ModelSpec.model_validate(found.state["facts"][MODEL])
    assert spec.vocab_size is not None, spec
    if weights:
        decoder = _decoder(spec, spec.vocab_size, found.weights(average), place)
    else:
        decoder = _without_weights(spec, spec.vocab_size)
    return Trained(decoder, Tokenizer.load(run / TOKENIZER), found)


def _decoder(spec: ModelSpec, vocab_size: int, weights: dict[str, torch.Tensor], device: torch.device) -> Decoder:
    """Built without drawing weights that are overwritten at once."""
    decoder = _without_weights(spec, vocab_size)
    decoder.load_state_dict(weights, assign=True)
    return decoder.float().to(device)


def _without_weights(spec: ModelSpec, vocab_size: int) -> Decoder:
    with torch.device("meta"):
        return Decoder(spec, vocab_size)
