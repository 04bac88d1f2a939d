"""docs/stages.md says what the registry says; links between documents lead somewhere."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from curation.child import REASONS as CHILD_REASONS
from curation.registry import STAGES
from curation.sift import CHILD_STAGE
from schemas.stage import Stage

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(name: str) -> str:
    """What stands below `## name`."""
    text = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    _, heading, rest = text.partition(f"\n## {name}\n")
    assert heading, f"docs/stages.md has no section {name!r}"
    return rest.partition("\n## ")[0]


def cells(text: str, head: str) -> dict[str, str]:
    """The first two cells of the table whose head row begins with `head`: a name in backquotes -> its second cell."""
    _, found, rest = text.partition(f"| {head} |")
    assert found, f"no table of {head}s"
    rows = re.findall(r"^\| `(\w+)` \| ((?:[^|\\]|\\.)*) \|", rest.partition("\n\n")[0], re.MULTILINE)
    return dict(rows)


def default(field: "dataclasses.Field[object]") -> str:
    """A parameter's default as the tables write it."""
    if field.default is dataclasses.MISSING:
        return "required"
    return "`" + json.dumps(field.default, ensure_ascii=False).replace("|", "\\|") + "`"


def anchor(heading: str) -> str:
    """The fragment under which a heading can be reached."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", STAGES)
def test_every_parameter_stands_with_its_default(name: str) -> None:
    """No more and no fewer than the dataclass has."""
    fields = [f for f in dataclasses.fields(STAGES[name]) if not f.name.startswith("_")]  # type: ignore[arg-type]
    assert cells(section(name), "parameter") == {f.name: default(f) for f in fields}


@pytest.mark.parametrize("name", STAGES)
def test_every_reason_stands(name: str) -> None:
    """In the stage's order, each with words on its value."""
    kind: type[Stage] = STAGES[name]
    if not kind.reasons:
        assert "Drops nothing." in section(name)
        return
    found = cells(section(name), "reason")
    assert tuple(found) == kind.reasons
    assert all(found.values())


def test_the_child_s_reasons_stand() -> None:
    """They belong to no stage of the registry."""
    assert tuple(cells(section(CHILD_STAGE), "reason")) == CHILD_REASONS


def test_no_section_without_a_stage() -> None:
    """A stage that went takes its section along."""
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "stages.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [*STAGES, "read", CHILD_STAGE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings that a page links to within the repository exist."""
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name}: {link}"
        if fragment:
            headings = map(anchor, _HEADING.findall(_FENCE.sub("", target.read_text(encoding="utf-8"))))
            assert fragment in set(headings), f"{page.name}: {link}"


def test_the_readme_s_tree_has_a_line_for_every_module() -> None:
    """No more and no fewer than there are outside tests."""
    block = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The house")[2].split("```")[1]
    listed, folders = set[str](), list[str]()
    for line in filter(None, block.splitlines()):
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name]
        listed.add("".join(folders))
    packages = [path for path in ROOT.iterdir() if (path / "__init__.py").exists() and path.name != "tests"]
    modules = {
        str(p.relative_to(ROOT)) for package in packages for p in package.rglob("*.py") if p.name != "__init__.py"
    }
    assert {name for name in listed if name.endswith(".py")} == modules
