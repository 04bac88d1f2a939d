"""Run by torchrun in test_run.py: goes on with the small recipe on all ranks."""

import sys
from pathlib import Path

import torch

from tests.trainer.nano import Made, spec

if __name__ == "__main__":
    torch.set_num_threads(1)
    output, data, segments = map(Path, sys.argv[1:])
    assert Made(output, data, segments).go(spec())
