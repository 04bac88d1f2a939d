"""Machines by name: what they compute, hold and cost. No torch."""

from dataclasses import dataclass

from trainer.errors import TrainerError


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of GPUs."""

    gpu: str
    """As it is found in the device's own name."""
    gpus: int
    peak_flops: float
    """Of one GPU: dense bfloat16 products a second, from its maker's data sheet."""
    memory: int
    """Bytes of one GPU."""
    dollars_an_hour: float | None
    """Of the node; None where no price was published with a run that we compare with."""


_GB = 10**9

MACHINES = {
    "8xA100": Machine("A100", 8, 312e12, 80 * _GB, 14.0),  # Karpathy's 124M: some $20 for 90 minutes
    "8xH100": Machine("H100", 8, 989e12, 80 * _GB, 28.0),  # Karpathy's 1.6B: $672 for 24 hours
    "8xH200": Machine("H200", 8, 989e12, 141 * _GB, None),
    "1xH200": Machine("H200", 1, 989e12, 141 * _GB, None),
}


def machine(name: str) -> Machine:
    """A machine.

    Raises:
      TrainerError: None has the name.
    """
    if name not in MACHINES:
        raise TrainerError(f"no machine is named {name!r}; there are {', '.join(MACHINES)}")
    return MACHINES[name]


def peak_flops(device_name: str) -> float | None:
    """Of a GPU by the name it gives itself, such as `NVIDIA H200`; None where it is none of ours."""
    return next((known.peak_flops for known in MACHINES.values() if known.gpu in device_name), None)
