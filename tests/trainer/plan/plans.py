"""Plans over folders in memory, and what they draw."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.training import SourceSpec, StageSpec
from tests.trainer.plan.corpora import Folder, library
from trainer.plan.chain import Plan
from trainer.plan.window import Window

Target = tuple[int, int]
"""Segment's number, token."""


@contextmanager
def shrunk(window: int, run: int) -> Iterator[None]:
    """A context in which windows and runs are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.plan.extent.WINDOW_POSITIONS", window)
        patch.setattr("trainer.plan.sources.RUN_TOKENS", run)
        yield


def stage(**changes: Any) -> StageSpec:
    """A stage over one source."""
    usual: dict[str, Any] = {"name": "core", "mix": {"web": 1}, "seq_len": 16, "batch": 32, "lr": {"from": 1}}
    return StageSpec(**{**usual, **changes})


def plan(
    store: Path,
    spec: StageSpec,
    folders: Mapping[str, Folder],
    *,
    sources: Mapping[str, SourceSpec] | None = None,
    seed: int = 0,
    held_out: float = 0.0,
) -> Plan:
    """A plan over folders in memory, by source."""
    kinds = {name: SourceSpec(kind=folder.manifest.kind) for name, folder in folders.items()}
    places = {name: i for i, name in enumerate(folders)}
    return Plan(spec, {**kinds, **(sources or {})}, seed, held_out, library(*folders.values()), places, store)


def windows(made: Plan) -> list[Window]:
    """All of a plan."""
    found = [made.window(0)]
    while not found[-1].last:
        found.append(made.window(len(found)))
    return found


def pieces(window: Window) -> Iterator[tuple[int, int, int]]:
    """(segment, start, length) of each piece, row after row."""
    for name in ("segment", "start", "length"):
        assert window.rows[name].num_chunks == 1
    columns = [window.rows[name].combine_chunks().flatten().to_pylist() for name in ("segment", "start", "length")]
    yield from zip(*columns, strict=True)


def targets(found: list[Window]) -> Counter[Target]:
    """How often each token is a target, masks aside."""
    return Counter(
        (segment, token)
        for window in found
        for segment, start, length in pieces(window)
        for token in range(start + 1, start + length)
    )


def lengths(folder: Folder) -> list[list[int]]:
    """Tokens of each document, by segment."""
    return [np.diff(arrays["starts"]).tolist() for arrays in folder.arrays]


def lognormal(documents: int, mean: float = 3.0, *, segments: int = 3, seed: int = 0, name: str = "web") -> Folder:
    """A folder of documents of log-normal lengths."""
    drawn = np.random.default_rng(seed).lognormal(mean, 1, documents).astype(int) + 1
    return Folder([part.tolist() for part in np.array_split(drawn, segments)], name=name)


def mixed(store: Path, **changes: Any) -> Plan:
    """Three sources of unlike documents, whose mix changes."""
    folders = {
        "web": lognormal(2000, 3.0, name="web"),
        "code": lognormal(400, 4.5, seed=1, name="code"),
        "chat": Folder([[[0] * (3 + n % 9) + [1] * (1 + n % 4) for n in range(300)]], name="chat", kind="chat"),
    }
    usual: dict[str, Any] = {
        "mix": [
            [0, {"web": 5, "code": 4, "chat": 1}],
            [10_000, {"web": 1, "code": 3}],
            [20_000, {"chat": 1, "web": 9}],
        ],
        "tokens": 30_000,
        "seq_len": [[0, 16], [15_000, 64]],
        "batch": [[0, 64], [25_000, 128]],
        "max_epochs": 10,
    }
    return plan(store, stage(**{**usual, **changes}), folders)


LONGEST = max(map(max, lengths(lognormal(2000, 3.0)) + lengths(lognormal(400, 4.5, seed=1))))


def languages(where: str) -> tuple[Folder, SourceSpec]:
    """1,000 documents of two languages, in segments of mixed ones."""
    names = ["ko" if n % 3 == 0 else "en" for n in range(1000)]
    return Folder([[5] * 500, [5] * 500], {"language": names, "score": list(range(1000))}), SourceSpec(where=where)
