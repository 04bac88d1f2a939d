"""Our top-level names are ours alone, and the public names of each package are these."""

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

PACKAGES = ("schemas", "text", "storage", "dedup", "classifiers", "curation", "service", "trainer", "tests")

PUBLIC: dict[str, list[str]] = {
    "schemas": [],
    "text": [],
    "storage": [],
    "dedup": [],
    "classifiers": [],
    "curation": ["ForEach", "Inputs", "Options", "run"],
    "curation.readers": ["VERSION", "FormatError", "Limits", "NoTextError", "Reader", "open_task", "page_at"],
    "curation.report": ["render"],
    "trainer": [],
    "trainer.loader": ["PlanSource", "StepDataset"],
    "trainer.report": ["write"],
    "service": [],
    "service.sample": ["KINDS", "PlantedPage", "Truth", "read_truth", "write_quality_sets", "write_sample"],
}
"""Package -> its `__all__`; none where there is no list."""


def required(name: str, seen: set[str]) -> Iterator[Distribution]:
    """The installed distributions that one needs, itself and extras included, transitively."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return
    seen.add(key)
    try:
        found = distribution(name)
    except PackageNotFoundError:  # of an extra, a platform or a Python that is not this one
        return
    yield found
    for line in found.requires or ():
        yield from required(re.split(r"[\s\[<>=!~;(]", line, maxsplit=1)[0], seen)


def claimed(found: Distribution) -> set[str]:
    """Top-level names that a distribution installs."""
    parts = [file.parts for file in found.files or () if file.suffix in (".py", ".so") and ".." not in file.parts]
    return {first[0].removesuffix(".py").partition(".")[0] for first in parts}


def test_nobody_else_claims_our_names() -> None:
    others = [found for found in required("gristmill", set()) if found.name != "gristmill"]
    assert len(others) > 50
    assert {"apache-beam", "pyarrow", "pytest"} <= {found.name.lower().replace("_", "-") for found in others}
    clashes = [f"{found.name} claims {name}" for found in others for name in sorted(claimed(found) & set(PACKAGES))]
    assert clashes == []


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert list(getattr(module, "__all__", [])) == PUBLIC[package]
    missing = [name for name in PUBLIC[package] if not hasattr(module, name)]
    assert missing == []


def test_every_package_with_public_names_is_pinned() -> None:
    root = Path(__file__).parents[1]
    inits = (path for name in PACKAGES if name != "tests" for path in (root / name).rglob("__init__.py"))
    with_names = {
        ".".join(path.parent.relative_to(root).parts) for path in inits if "__all__ = " in path.read_text("utf-8")
    }
    assert with_names == {package for package, names in PUBLIC.items() if names}


def test_unknown_public_name() -> None:
    module = importlib.import_module("curation")
    with pytest.raises(AttributeError, match="module 'curation' has no attribute 'Run'; it has ForEach, Inputs"):
        module.Run  # noqa: B018
