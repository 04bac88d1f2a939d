"""The built-in crawl, its recipe, and the runs of the whole matrix."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from classifiers.train import train
from service.sample import write_quality_sets, write_sample
from storage.pipelines import builtin_file
from tests.engines.crawl import PAGES, Crawl
from tests.engines.matrix import LANES, Matrix


@pytest.fixture(scope="session")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """The whole built-in crawl, and the pipeline `sample` with a classifier trained as the demo trains it.

    Two parts of the recipe are left out, in which engines do nothing that they don't do in others: `language: each`,
    for Korean words by Kiwi would be half of all the work, and `url_dedup`, whose phases are those of
    `digest_dedup`. Most of a run is the start of its phases.
    """
    folder = tmp_path_factory.mktemp("crawl")
    write_sample(folder, pages=PAGES)
    good, bad = write_quality_sets(folder / "labelled")
    train([str(good)], [str(bad)], folder / "quality.bin")
    recipe = yaml.safe_load(builtin_file().read_text(encoding="utf-8"))["curation"]["sample"]
    del recipe["language"]
    recipe["stages"].remove("url_dedup")
    pipelines = folder / "pipelines.yaml"
    pipelines.write_text(yaml.safe_dump({"curation": {"sample": recipe}}, sort_keys=False), encoding="utf-8")
    return Crawl(folder, f"{pipelines}#sample", (f"quality.model={folder / 'quality.bin'}",))


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest, crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """The runs that the chosen tests ask for, under way."""
    cases = [case for item in request.session.items for case in _cases(item)]
    seed = int(os.environ.get("GRISTMILL_KILL_SEED") or secrets.randbelow(10**6))
    with ThreadPoolExecutor(LANES) as pool:
        runs = Matrix(crawl, tmp_path_factory.mktemp("matrix"), seed, pool)
        runs.begin(cases)
        yield runs
        pool.shutdown(cancel_futures=True)


def _cases(item: pytest.Item) -> list[str]:
    """The run that a chosen test waits for."""
    if not isinstance(item, pytest.Function) or "matrix" not in item.fixturenames or not hasattr(item, "callspec"):
        return []
    return [str(item.callspec.params["case"])]
