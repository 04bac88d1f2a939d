"""What devices can do at most, for MFU."""

import torch

PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}
"""Part of a device's name -> dense bfloat16 products a second, from NVIDIA's data sheets."""


def peak_flops(device: torch.device) -> float | None:
    """Of a device; None for a CPU and for what the table does not name."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)
