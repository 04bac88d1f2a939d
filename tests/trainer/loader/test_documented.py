"""docs/training.md's example of the loader on its own does what it says."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from tests.trainer import nano
from tests.trainer.loader.windows import fields, rows_of

PAGE = Path(__file__).parents[3] / "docs/training.md"


def example() -> str:
    """The code below the section's heading."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## The loader on its own\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(code)


def test_the_example_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks' rows, dealt in turn, are one rank's; behind the saved state stands the next step."""
    nano.corpus(tmp_path / "out", 200)
    (tmp_path / "example.py").write_text(example())
    monkeypatch.chdir(tmp_path)
    made = runpy.run_path("example.py")
    whole = list(made["steps"](0, 1, {}))
    assert made["state"] == whole[3].state
    assert made["step"].index == 4
    assert all(map(torch.equal, fields(made["step"].batches[0]), fields(whole[4].batches[0])))
    for step, *ranks in zip(whole, *(made["steps"](rank, 2, {}) for rank in range(2)), strict=True):
        dealt = [list(rows_of(rank))[: -(-(step.rows - number) // 2)] for number, rank in enumerate(ranks)]
        rows = list(rows_of(step))[: step.rows]
        assert [rows[0::2], rows[1::2]] == dealt
