"""TensorBoard's event files beside the JSON lines."""

from collections.abc import Mapping
from pathlib import Path

from trainer.errors import TrainerError


class Board:
    """Scalars of a run.

    Args:
      folder: `events` of the run's output.
      after: The step that the run goes on from; what TensorBoard has of later ones, it drops.

    Raises:
      TrainerError: The package tensorboard is not installed.
    """

    def __init__(self, folder: Path, after: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # optional, and slow to import
        except ImportError as error:
            raise TrainerError("tensorboard is not installed; pip install 'gristmill[trainer]'") from error
        self._writer = SummaryWriter(str(folder), purge_step=after + 1)

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Scalars of a step; None has no point."""
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()
