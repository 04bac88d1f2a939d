"""What a child imports before its first page: every child of a run pays for it."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.judge import JudgeSpec, SignSpec
from curation.judged import Sampling, Sealed
from curation.recipe import load, resolve
from curation.rules.gopher_quality import GopherQuality
from curation.steps import Step

CHILD = """
import pickle, sys
import curation.child_side
build = pickle.loads(sys.stdin.buffer.read())
build() if sys.argv[1:] == ["built"] else pickle.loads(build.data)
print(*sys.modules)
"""

PARENTS = {"apache_beam", "pandas", "pyarrow", "pydantic", "yaml", "curation.documents", "curation.registry"}
NETWORK = {"aiohttp", "botocore", "requests", "storage.clients", "storage.http_client"}
OTHER_LEVELS = {"numba", "trafilatura", "lxml", "ftfy", "fasttext", "fsspec", "urllib3", "asyncio", "kiwipiepy"}
SPARED = {
    "sift0": PARENTS | NETWORK | OTHER_LEVELS,
    "sign0": PARENTS | NETWORK | OTHER_LEVELS,
    "sift1": PARENTS | NETWORK | OTHER_LEVELS,
    "sign1": PARENTS | NETWORK | OTHER_LEVELS,
    "sift2": PARENTS - {"yaml"} | NETWORK,  # numba asks for a configuration
    "sign2": PARENTS - {"yaml"} | NETWORK | OTHER_LEVELS - {"numba"},
    "sift3": PARENTS | NETWORK | OTHER_LEVELS,
}
"""A phase and a level of the pipeline `sample`, and modules that its child does without."""


def modules(build: Callable[[], Any], *args: str) -> set[str]:
    """What is imported when a child has opened the seal; with "built", when it has built its function."""
    found = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{CHILD}", *args],
        input=pickle.dumps(Sealed.of(build)), stdout=subprocess.PIPE, check=True, timeout=120,
    )  # fmt: skip
    return set(found.stdout.decode().split())


@pytest.fixture(scope="module")
def builds() -> dict[str, Callable[[], Any]]:
    """What the children of `sample` are sent, by phase and level."""
    name, spec = load("sample")
    recipe = resolve(name, spec, ["quality.model=/no/such/file.bin"])
    found: dict[str, Callable[[], Any]] = {}
    for level in recipe.levels():
        found[f"sift{level.index}"] = JudgeSpec(level.steps, recipe.sampling, recipe.seed, level.has_text, {})
        if level.dedup is not None:
            found[f"sign{level.index}"] = SignSpec(level.dedup, {})
    return found


def test_every_child_of_sample_is_looked_at(builds: dict[str, Callable[[], Any]]) -> None:
    assert set(builds) == set(SPARED)


@pytest.mark.parametrize("case", SPARED)
def test_a_child_imports_what_its_stages_need(builds: dict[str, Callable[[], Any]], case: str) -> None:
    found = modules(builds[case])
    assert "curation.judge" in found
    assert sorted(SPARED[case] & found) == []


def test_a_child_that_cuts_english_words_builds_its_stages_without_the_network() -> None:
    spec = JudgeSpec((Step("gopher_quality", GopherQuality()),), Sampling(0, 1, False), 0, True, {})
    assert sorted((PARENTS | NETWORK | OTHER_LEVELS) & modules(spec, "built")) == []


def test_english_tables_wait_for_the_first_english_word() -> None:
    made = "from text import english_characters as c, words; print(c.letters.cache_info().currsize, end=' '); "
    made += "words.segmenter('eng_Latn').load(); print(c.letters.cache_info().currsize)"
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", made], cwd=root, stdout=subprocess.PIPE, check=True, timeout=120)
    assert found.stdout.split() == [b"0", b"1"]
