"""A trained model to go on from, evaluate, export or talk to: a run's output, a checkpoint, or Hugging Face's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from schemas.training import ModelSpec
from trainer.errors import TrainerError
from trainer.model import hf, hf_config
from trainer.model.decoder import Decoder
from trainer.model.shape import Shape
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train import checkpoint
from trainer.train.checkpoint import Checkpoint
from trainer.train.identity import see_tokenizer
from trainer.train.ranks import device_named

CHECKPOINTS, TOKENIZER_FOLDER = "checkpoints", "tokenizer"


@dataclass(frozen=True, slots=True)
class Stored:
    """A trained model where it lies, its weights unread."""

    path: Path
    """A Hugging Face folder, or a checkpoint's."""
    spec: ModelSpec
    shape: Shape
    tokenizer: Tokenizer
    checkpoint: Checkpoint | None
    """None for a Hugging Face folder."""

    @property
    def origin(self) -> str:
        """What the weights are, for run.json."""
        if self.checkpoint is None:
            return str(self.path)
        return f"checkpoint of step {self.checkpoint.step}, sha256 {self.checkpoint.sha256}"

    def decoder(self, average: bool, device: torch.device) -> Decoder:
        """Reads the weights.

        Args:
          average: Takes the Polyak average where the checkpoint holds one.
          device: Where they go.

        Raises:
          TrainerError: A Hugging Face folder holds what a decoder can't be.
          IntegrityError: A file of it is missing or damaged.
        """
        weights = self.checkpoint.weights(average) if self.checkpoint else hf.load(self.path)[2]
        with torch.device("meta"):  # draws no weights, which are overwritten at once
            decoder = Decoder(self.spec, self.shape.vocab_size)
        decoder.load_state_dict(weights, assign=True)
        return decoder.float().to(device)


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights with their tokenizer."""

    decoder: Decoder
    tokenizer: Tokenizer
    checkpoint: Checkpoint | None
    """None for a Hugging Face folder."""


def open_trained(
    path: str | Path, *, average: bool = True, device: str = "cpu", note: Callable[[str], None] = lambda _: None
) -> Trained:
    """Opens a model.

    Args:
      path: As `stored` has it.
      average: Takes the Polyak average where the checkpoint holds one.
      device: Where the weights go.
      note: Is told of checkpoints that are not whole and passed over.

    Raises:
      TrainerError: It is no model; or there is no such device.
      IntegrityError: As `stored` has it, or weights are damaged.
    """
    place = device_named(device)
    found = stored(path, note)
    return Trained(found.decoder(average, place), found.tokenizer, found.checkpoint)


def stored(path: str | Path, note: Callable[[str], None] = lambda _: None, *, tensors: bool = True) -> Stored:
    """Finds a model and reads its shape and tokenizer.

    Args:
      path: A run's output, whose newest sound checkpoint is taken; one of its checkpoints
        (`OUT/checkpoints/step-…`); or a Hugging Face folder.
      note: Is told of checkpoints that are not whole and passed over.
      tensors: False spares hashing a checkpoint's weights, for whoever never reads them.

    Raises:
      TrainerError: It is none of the three.
      IntegrityError: Checkpoints are there, and none is whole; or the run's tokenizer is not the one it was trained
        with.
    """
    folder = Path(path).resolve()
    if (folder / hf.CONFIG).is_file():
        spec, vocab_size = hf_config.read(folder / hf.CONFIG)
        return Stored(folder, spec, Shape.of(spec, vocab_size), Tokenizer.load(folder, ends=hf.ends(folder)), None)
    if (folder / checkpoint.MARKER).is_file():
        found, run = checkpoint.opened(folder, tensors=tensors), folder.parents[1]
    else:
        latest = checkpoint.latest(folder / CHECKPOINTS, note, tensors=tensors)
        if latest is None:
            raise TrainerError(
                f"{str(path)!r} holds no model: neither checkpoints/ of a run nor a Hugging Face config.json; give the "
                "--output of `gristmill train`, or a folder that `gristmill export` made"
            )
        found, run = latest, folder
    see_tokenizer(run, run / TOKENIZER_FOLDER)
    spec = model_of(found)
    assert spec.vocab_size is not None, spec
    return Stored(found.path, spec, Shape.of(spec, spec.vocab_size), Tokenizer.load(run / TOKENIZER_FOLDER), found)


def model_of(found: Checkpoint) -> ModelSpec:
    """The shape of a checkpoint's model, as stages had changed it."""
    return ModelSpec.model_validate(found.state["facts"]["model"])
