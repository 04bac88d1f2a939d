import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.train.metrics import JsonLines


def rows(*steps: int) -> bytes:
    return b"".join(json.dumps({"step": step, "loss": step / 8}).encode() + b"\n" for step in steps)


@pytest.mark.parametrize(
    ("content", "after", "left"),
    [
        (b"", 0, b""),
        (b"", 7, b""),
        (rows(1, 2, 3), 3, rows(1, 2, 3)),
        (rows(1, 2, 3), 9, rows(1, 2, 3)),
        (rows(1, 2, 3), 2, rows(1, 2)),
        (rows(1, 2, 3), 0, b""),
        (rows(1, 2) + b'{"step": 3, "lo', 2, rows(1, 2)),
        (rows(1, 2) + b'{"step": 3, "lo', 3, rows(1, 2)),
        (rows(1, 2) + rows(3)[:-1], 3, rows(1, 2)),  # whole but for its end: the step is done again
        (rows(1, 2) + b"\x00\x00\x00\n" + rows(3), 3, rows(1, 2, 3)),
        (b"\xff\n" + rows(1, 2) + b"\n" + rows(3, 4, 5) + b'{"step"', 4, rows(1, 2, 3, 4)),
        (rows(1) + b"\x00" * 40 + rows(2, 3), 3, rows(1, 3)),  # zeros for a lost block take the row they run into
        (rows(1) + b"[1]\n", 3, rows(1)),
        (rows(1) + b'{"step": "2"}\n{"step": 2.5}\n{"step": true}\n{"step": null}\n{}\n' + rows(2), 3, rows(1, 2)),
        (rows(1) + b"[" * 100_000 + b"\n" + rows(2), 3, rows(1, 2)),
        (rows(1, 2, 2, 1, 3), 3, rows(1, 2, 3)),  # one a step, in order
        (rows(1, 99, 2, 3, 4), 3, rows(1, 2, 3)),
        (rows(-1, 0, 1), 3, rows(1)),
        (rows(1, 2, 40, 3, 4, 5), 50, rows(1, 2, 3, 4, 5)),  # one step that is wrong takes no other row with it
        (rows(1, 5, 2, 3, 4, 5), 5, rows(1, 2, 3, 4, 5)),
    ],
)
def test_cut_back(tmp_path: Path, content: bytes, after: int, left: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    with JsonLines(path, after) as lines:
        assert path.read_bytes() == left
        assert lines.stood == left.count(b"\n")
        lines.add({"step": 8, "loss": None})
        assert path.read_bytes() == left + b'{"step": 8, "loss": null}\n'  # seen at once
        lines.sync()


@pytest.mark.parametrize(
    "row", [{"step": 2}, {"step": 2, "loss": "x"}, {"step": 2, "loss": 1.0, "more": 1}, {"step": 2.0, "loss": 1.0}]
)
def test_a_row_of_another_form_is_none(tmp_path: Path, row: dict[str, Any]) -> None:
    path, good = tmp_path / "metrics.jsonl", [{"step": 1, "loss": None}, {"step": 2, "loss": 0.5}]
    path.write_text("".join(json.dumps(each) + "\n" for each in (good[0], row, good[1])))
    with JsonLines(path, 9, {"step": int, "loss": int | float | None}) as lines:
        assert lines.stood == 2
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == good


def test_made_where_missing(tmp_path: Path) -> None:
    with JsonLines(tmp_path / "a" / "b.jsonl", 0) as lines:
        lines.add({"step": 1})
    assert (tmp_path / "a" / "b.jsonl").read_bytes() == b'{"step": 1}\n'


def test_a_full_disk_is_told_and_half_a_row_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    code = (
        "import resource; from pathlib import Path; from trainer.train.metrics import JsonLines\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (110, {resource.RLIM_INFINITY}))\n"
        f"lines = JsonLines(Path({str(path)!r}), 0)\n"
        "for step in range(1, 99): lines.add({'step': step, 'loss': 0.5})\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"StorageError: no space left to write {str(path)!r}" in ran.stderr
    assert path.stat().st_size == 110
    JsonLines(path, 99).close()
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2, 3, 4]
