"""How much memory there is: a GPU's, or the host's within the limits of its control groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

_SYSTEM = Path("/")


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes."""

    total: int
    """Of the device: the same at every start."""
    free: int
    """At this moment."""
    where: str


def room(device: torch.device) -> Room:
    """The device's memory; on a CPU that of the host, less where a control group allows less."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Room(total, free + held, str(torch.cuda.get_device_name(device)))
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit, used in group_limits(_SYSTEM):
        total, free = min(total, limit), min(free, max(limit - used, 0))
    return Room(total, free, "this host")


def group_limits(system: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of this process's control groups for memory and those above them; none that has no limit.

    What the kernel would give back (files read and not used lately) doesn't count as used. A group that can't be seen
    from inside a container stands at the top there.

    Args:
      system: The root of the file system.
    """
    try:
        groups = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, limit, used, given_back = system / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit = system / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            used, given_back = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        inner = top / path.lstrip("/")
        for folder in (inner, *inner.parents) if inner.is_dir() else (top,):
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None:
                yield most, max(now - _stat(folder / "memory.stat", given_back), 0)
            if folder == top:
                break


def _number(path: Path) -> int | None:
    """None where there is none, or the limit is `max` or version 1's word for it, about 2^63."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < 2**62 else None


def _stat(path: Path, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(value) for name, value in (line.split() for line in lines) if name == key), 0)
