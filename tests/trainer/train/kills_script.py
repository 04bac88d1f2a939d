"""Run by test_run.py in a process of its own: trains, killed at given steps, then to the end."""

import os
import signal
import sys
from pathlib import Path

import torch

from tests.trainer.nano import Made, Watch, spec
from trainer.train.metrics import Row


def killed_at(step: int) -> Watch:
    """Whoever watches kills the process when this step was told, or, in the middle of writing, right after it."""

    def act(row: Row) -> None:
        if row.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return Watch(act)


def main(output: str, data: str, segments: str, *steps: str) -> None:
    """A child for every kill, forked before torch has any threads."""
    made = Made(Path(output), Path(data), Path(segments))
    for step in map(int, steps):
        child = os.fork()
        if not child:
            made.go(spec(), killed_at(step))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), status
        assert os.WTERMSIG(status) == signal.SIGKILL, status


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
