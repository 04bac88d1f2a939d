"""The processes that train one model together, each on its own rows (data parallel)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.errors import TrainerError

_PATIENCE = timedelta(days=7)
"""Of ranks while the first one tokenises a corpus."""
_STEP_PATIENCE = timedelta(hours=3)
"""Of ranks otherwise: the first one may stand at a gate, or wait for the checkpoint before to be written."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among them. With one process, every operation does nothing."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> None:
        """Adds up over all ranks, in place; every rank gets the same bits."""
        if self.world > 1:
            dist.all_reduce(tensor)

    def barrier(self) -> None:
        """Waits until every rank is here."""
        if self.world > 1:
            dist.barrier()

    def max(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all ranks."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        found: list[float] = tensor.tolist()
        return found

    def broadcast(self, tensor: Tensor) -> None:
        """Gives all ranks what the first one has, in place."""
        if self.world > 1:
            dist.broadcast(tensor, 0)

    def broadcast_object(self, value: Any) -> Any:
        """What the first rank has; the others' own value is ignored."""
        if self.world == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, 0)
        return holder[0]

    @contextmanager
    def while_first_works(self) -> Iterator[None]:
        """At its end the ranks wait for the first one, for days if need be; elsewhere hours are an error."""
        if self.world == 1:
            yield
            return
        group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)  # its type names a number for who is no member
        yield
        dist.barrier(group)
        dist.destroy_process_group(group)

    def all_gather(self, value: Any) -> list[Any]:
        """Every rank's value, in their order, on every rank."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found


@contextmanager
def joined(device: str = "") -> Iterator[Ranks]:
    """Joins the ranks that torchrun started; without torchrun, this process is the only one.

    Args:
      device: `cpu`, `cuda`, `cuda:1`; empty takes a GPU where there is one. Under torchrun each rank of a machine
        takes the GPU of its local rank.

    Raises:
      TrainerError: No such device, or more ranks than GPUs on this machine.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    where = device_named(device, int(os.environ.get("LOCAL_RANK", "0")) if world > 1 else 0)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if world == 1:
        yield Ranks(0, 1, where)
        return
    if where.type == "cuda":
        dist.init_process_group("cpu:gloo,cuda:nccl", device_id=where, timeout=_STEP_PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=_STEP_PATIENCE)
    try:
        yield Ranks(rank, world, where)
    finally:
        dist.destroy_process_group()


def device_named(name: str, local_rank: int = 0) -> torch.device:
    """A device of this machine: `cpu`, `cuda`, `cuda:1`; empty takes a GPU where there is one.

    Args:
      name: The device; without a number it is the GPU of the local rank.
      local_rank: Of this process among those of its machine.

    Raises:
      TrainerError: There is none.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise TrainerError(f"there is no device {name!r}: give cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        number = local_rank if device.index is None else device.index
        if number >= torch.cuda.device_count():
            raise TrainerError(
                f"device {name!r} on local rank {local_rank} is GPU {number}, and this machine has "
                f"{torch.cuda.device_count()}; start fewer ranks or give --device cpu"
            )
        return torch.device("cuda", number)
    if device.type != "cpu":
        raise TrainerError(f"device {name!r} is neither a CPU nor a CUDA GPU: give cpu, cuda or cuda:N")
    return device
