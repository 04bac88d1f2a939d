"""Bytes by position."""

import io
import random

import pytest

from curation.readers.window import Window

DATA = random.Random(2).randbytes(5000)


@pytest.mark.parametrize("block", [1, 7, 64, 10_000])
def test_views_anywhere(block: int) -> None:
    window, chance = Window(io.BytesIO(DATA), block), random.Random(block)
    for _ in range(500):
        position, size = chance.randrange(5100), chance.randrange(300)
        assert bytes(window.view(position, size)) == DATA[position : position + size]
    assert window.size() == 5000


@pytest.mark.parametrize("block", [3, 64, 10_000])
def test_find(block: int) -> None:
    window = Window(io.BytesIO(b"-ab--ab-"), block)
    cases = {(0, 8): 1, (1, 2): 1, (0, 1): -1, (2, 8): 5, (2, 5): -1, (2, 6): 5, (6, 99): -1, (99, 100): -1}
    for (begin, end), place in cases.items():
        assert window.find(b"ab", begin, end) == place, (begin, end)


def test_reads_forward_without_seeking() -> None:
    class Counted(io.BytesIO):
        seeks = 0

        def seek(self, position: int, whence: int = 0) -> int:
            self.seeks += 1
            return super().seek(position, whence)

    file = Counted(DATA)
    window = Window(file, 100)
    for position in range(0, 5000, 50):
        window.view(position, 80)
    assert (file.seeks, window.size(), file.seeks) == (1, 5000, 1)
