"""A dry run's table: every figure stands however narrow the terminal."""

import io

from rich.console import Console

from service.dry_run import show
from service.terminal import Terminal
from trainer.plan.summary import PlanSummary, SourceSummary

WEB = SourceSummary(targets=1_500_000, available=1_000_000, counted=False)
CORE = PlanSummary(
    stage="core",
    exact=False,
    windows=2,
    steps=1234,
    targets=1_500_000,
    documents=5678,
    split=9,
    targetless=0,
    dropped=0,
    targetless_steps=12,
    padding=(0.01, 0.0025),
    sources={"web": WEB},
)
DPO = PlanSummary(
    stage="dpo",
    exact=True,
    windows=1,
    steps=38,
    targets=9_077,
    documents=1_200,
    split=0,
    targetless=0,
    dropped=0,
    targetless_steps=0,
    padding=(),
    sources={"pairs": SourceSummary(targets=9_077, available=4_538, counted=True)},
)


def test_no_figure_is_cut() -> None:
    console = Terminal()
    console.file = io.StringIO()
    console.width = 40
    assert isinstance(console, Console)
    show([("core", CORE), ("dpo", DPO)], console)
    lines = console.file.getvalue().splitlines()
    assert lines[1].split() == ["core", "~1,234", "~1,500,000", "~5,678", "~9", "0", "1.00%"]
    assert lines[2].split() == ["dpo", "38", "9,077", "1,200", "0", "0"]
    assert lines[5] == "  core: web ~1.5"
    assert lines[6] == "  dpo: pairs 2"
    assert lines[7].startswith("core: ~12 of its steps hold no target ")
    assert lines[8].startswith("~ is extrapolated")
