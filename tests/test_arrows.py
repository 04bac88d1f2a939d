"""Imports between our packages run one way; no package imports itself by way of another."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

ARROWS: dict[str, set[str]] = {
    "schemas": set(),
    "text": {"schemas"},
    "storage": {"schemas"},
    "dedup": {"schemas", "text", "storage"},
    "classifiers": {"schemas", "text", "storage"},
    "curation": {"schemas", "text", "storage", "dedup", "classifiers"},
    "trainer": {"schemas", "storage"},
    "service": {"schemas", "text", "storage", "dedup", "classifiers", "curation", "trainer"},
}
"""Package -> what it may import besides itself."""


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def faults(package: str, source: str, where: str) -> list[str]:
    """Imports that are no arrow: `where:line imports module`."""
    return [
        f"{where}:{line} imports {module}"
        for line, module in imports(source)
        if module.startswith(".") or (module.partition(".")[0] in {*ARROWS, "tests"} - {package} - ARROWS[package])
    ]


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for package in ARROWS:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_the_walk_sees_every_form_of_import() -> None:
    source = (
        "import curation.beam as b, os\nfrom service import cli\nfrom . import x\n"
        "if True:\n    from tests.runs import y\ndef f():\n    import dedup\n    from schemas.records import Page\n"
    )
    assert faults("text", source, "text/x.py") == [
        "text/x.py:1 imports curation.beam",
        "text/x.py:2 imports service",
        "text/x.py:3 imports .",
        "text/x.py:5 imports tests.runs",
        "text/x.py:7 imports dedup",
    ]


def test_imports_run_one_way() -> None:
    found = modules()
    assert {name.partition(".")[0] for name in found} >= set(ARROWS) - {"trainer"}
    wrong = []
    for name, path in sorted(found.items()):
        wrong += faults(name.partition(".")[0], path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    assert wrong == []


def test_allowed_arrows_hold_no_cycle() -> None:
    order: list[str] = []
    left = dict(ARROWS)
    while left:
        free = sorted(name for name, wanted in left.items() if wanted <= set(order))
        assert free, f"a cycle among {sorted(left)}"
        order += free
        for name in free:
            del left[name]
    assert order.index("schemas") == 0
    assert order.index("service") == len(order) - 1


def test_modules_import_each_other_in_no_circle() -> None:
    """At the top of modules, TYPE_CHECKING aside: what would run in a circle when it is imported."""
    found = modules()
    graph: dict[str, set[str]] = defaultdict(set)
    for name, path in found.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & set(found)
            elif isinstance(node, ast.ImportFrom) and node.module:
                members = {f"{node.module}.{alias.name}" for alias in node.names} & set(found)
                graph[name] |= members or ({node.module} & set(found))
    done: set[str] = set()
    while free := {name for name in found if name not in done and graph[name] - {name} <= done}:
        done |= free
    assert sorted(set(found) - done) == []


def test_no_catch_all_modules() -> None:
    assert [name for name in modules() if name.rpartition(".")[2] in ("utils", "common", "helpers")] == []
