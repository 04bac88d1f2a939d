"""What a finished run says of itself."""

import io
from typing import Any

from rich.console import Console

from schemas.manifest import Counts, InputEntry, Manifest
from service.summary import MOST_REASONS, summary


def manifest(**changes: Any) -> Manifest:
    counts = Counts(
        pages=1000, kept=250, dropped=750, dropped_by={"c4": {"lorem_ipsum": 700, "x": 0}, "fineweb": {"y": 50}},
        tokens=12_345, characters=50_000,
    )  # fmt: skip
    values: dict[str, Any] = {
        "gristmill": "0.1.0", "pipeline": "fineweb", "description": "", "language": "", "recipe_sha256": "",
        "stages": (), "publish": {}, "sample": {}, "seed": 0,
        "files_used": {}, "libraries": {}, "inputs_root": "", "inputs": (),
        "counts": counts, "files": (),
    }  # fmt: skip
    return Manifest(**{**values, **changes})


def shown(told: Manifest) -> list[str]:
    out = io.StringIO()
    summary(told, "s3://bucket/out", 100.0, Console(file=out, width=120))
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_counts_and_places() -> None:
    assert shown(manifest()) == [
        "fineweb: 1,000 pages, 250 kept (25.0 %), 750 dropped; 12,345 tokens; 2 min",
        "stage reason pages share",
        "c4 lorem_ipsum 700 70.0 %",
        "c4 x 0 0.0 %",
        "fineweb y 50 5.0 %",
        "report s3://bucket/out/report.html",
        "shards s3://bucket/out/shards",
        "ledger s3://bucket/out/ledger",
    ]


def test_many_reasons_are_cut() -> None:
    by = {"c4": {f"r{i:02}": 10 + i for i in range(MOST_REASONS + 3)}}
    counts = Counts(pages=1000, kept=0, dropped=1000, dropped_by=by, tokens=0, characters=0)
    lines = shown(manifest(counts=counts))
    assert lines[2].startswith("c4 r03 13")
    assert f"3 more reasons {10 + 11 + 12} 3.3 %" in lines


def test_no_pages_at_all() -> None:
    counts = Counts(pages=0, kept=0, dropped=0, dropped_by={}, tokens=0, characters=0)
    lines = shown(manifest(counts=counts))
    assert lines[0] == "fineweb: 0 pages, 0 kept (0.0 %), 0 dropped; 0 tokens; 2 min"
    assert lines[1].startswith("report ")  # and no table of nothing


def test_deviations_and_unread_files() -> None:
    source = InputEntry(name="b.gz", path="/b.gz", bytes=1, etag="", pages=0, error="/b.gz: [cut] at 7")
    lines = shown(manifest(deviations=("language: lid176",), inputs=(source,)))
    assert "deviation: language: lid176" in lines
    assert "not read: /b.gz: [cut] at 7" in lines


def test_damaged_files_those_cut_off_first() -> None:
    def entry(name: str, **faults: int) -> InputEntry:
        return InputEntry(name=name, path=f"/in/{name}", bytes=1, etag="", pages=9, faults=faults)

    sources = (entry("a"), entry("b", false_length=2), entry("c", bad_json=3), entry("d", truncated_record=1),
               entry("e", bad_json=1), entry("f", bad_json=1))  # fmt: skip
    lines = [line for line in shown(manifest(inputs=sources)) if line.startswith("damaged")]
    assert lines == [
        "damaged: /in/d: 1 truncated_record of 9 pages; it ends early, so fetch it again",
        "damaged: /in/c: 3 bad_json of 9 pages; the ledger says where",
        "damaged: /in/b: 2 false_length of 9 pages; the ledger says where",
        "damaged: 2 more files; see the report",
    ]
