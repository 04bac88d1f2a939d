"""Runs of the driver that tests share: the built-in crawl put through `fineweb` once a session, and small recipes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation import Inputs, Options
from curation.driver import run
from curation.recipe import load, resolve
from schemas.manifest import Manifest
from service.sample import Truth
from storage.errors import RegistryError
from storage.registry import Registry

IN_MEMORY = Options(workers=1, retries=0)
"""In the test's own process: no workers to start."""


@dataclass(frozen=True)
class Sample:
    """The built-in crawl, small."""

    folder: Path
    truth: Truth

    @property
    def inputs(self) -> Inputs:
        """All of its files; names begin below `crawl-data/`."""
        return Inputs(patterns=(f"{self.folder}/crawl-data/**/*.warc.gz",))


@dataclass(frozen=True)
class Finished:
    """An output folder and what its run returned."""

    output: Path
    manifest: Manifest

    def rows(self, folder: str) -> list[dict[str, Any]]:
        """All rows of one of its folders, in order."""
        return rows(self.output / folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of the Parquet files in a folder, in order."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def published(output: Path) -> dict[str, bytes]:
    """Every published file's bytes, by name."""
    folders = ("shards", "ledger", "clusters", "signals", "dropped")
    files = sorted(path for folder in folders for path in (output / folder).iterdir())
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


def finish(pipeline: str, sample: Sample, output: Path, *settings: str) -> Finished:
    """A run of a named pipeline over the sample; skips the test where its models or lists can't be had."""
    recipe = resolve(*load(pipeline), settings)
    for name in recipe.files():
        try:
            Registry().resolve(name)
        except RegistryError as error:
            pytest.skip(f"{name} can't be had here: {str(error).splitlines()[0]}")
    return Finished(output, run(recipe, sample.inputs, output, options=IN_MEMORY))
