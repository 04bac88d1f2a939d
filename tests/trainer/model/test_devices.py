"""Peaks by the names that devices give themselves."""

import pytest
import torch

from trainer.model.devices import peak_flops


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("abacus", None)],
)
def test_peaks_go_by_part_of_the_name(name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda")) == peak


def test_a_cpu_has_none() -> None:
    assert peak_flops(torch.device("cpu")) is None
