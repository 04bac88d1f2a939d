"""A plan's steps as a PyTorch `IterableDataset`, for whoever has a loop of their own.

    dataset = StepDataset(PlanSource(plan, library), rank=rank, world=world, micro_batch_size=8)
    for step in DataLoader(dataset, batch_size=None, num_workers=2):
        for batch in step.batches: ...
        saved = step.state

The dataset reads ahead with threads of its own, so `num_workers=0` loses nothing; with workers each reads every n-th
step, and the `DataLoader` puts them together in their order. To go on later, in a process with any number of ranks and
workers, give `load_state_dict` the `state` of the last step that was trained on, before the `DataLoader` is iterated.

Every iteration begins behind the state that was loaded last, at the stage's start where none was: a second one gives
the same steps again, with workers and without, also where the first was broken off.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from trainer.batch import Step
from trainer.errors import TrainerError
from trainer.loader.source import PlanSource


class StepDataset(IterableDataset[Step]):
    """See the module. An item is a whole step of this rank, so `batch_size` is None.

    Args:
        source: Where the steps come from. Worker processes get copies: it must pickle where they are spawned.
        rank: Of the data-parallel group.
        world: Its ranks.
        micro_batch_size: Rows of a micro-batch.
    """

    def __init__(self, source: PlanSource, *, rank: int = 0, world: int = 1, micro_batch_size: int = 8) -> None:
        self._source = source
        self._rank, self._world, self._micro_batch_size = rank, world, micro_batch_size
        self._loaded: Mapping[str, Any] | None = None
        self._given: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[Step]:
        begun = self._given = self._loaded  # a worker's copy tells nobody how far it came
        worker = get_worker_info()
        if worker is None:
            for step in self._source.steps(begun, self._rank, self._world, self._micro_batch_size):
                self._given = step.state
                yield step
            return
        first = 0 if begun is None else int(begun["index"])
        every = first + worker.id, worker.num_workers
        yield from self._source.steps(begun, self._rank, self._world, self._micro_batch_size, every=every)

    def state_dict(self) -> dict[str, Any]:
        """The state behind the last step that this very object gave out, or what was loaded since.

        Raises:
            TrainerError: In a worker, whose steps are not all; the steps bear their states.
        """
        if get_worker_info() is not None:
            raise TrainerError("a worker of a DataLoader knows no state of the whole; take `state` of the last step")
        return dict(self._given or {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Iterations begin behind the step whose `state` this is; an empty one is the start."""
        self._loaded = self._given = dict(state) or None
