"""Renders the report out of what a run has written: run.json, summary.json, metrics.jsonl, timing.jsonl."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from storage.commit import replace_atomic
from trainer.report.curves import HEIGHT, WIDTH, Curve, curve

_FOLDER = Path(__file__).parent


def write(output: Path) -> None:
    """Writes `report.html` into the output of a finished run.

    It is one file without scripts, and asks for nothing. What it says of waiting for data is of the slowest rank.
    """
    run, summary = (json.loads((output / name).read_bytes()) for name in ("run.json", "summary.json"))
    metrics, timing = (_lines(output / name) for name in ("metrics.jsonl", "timing.jsonl"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html.j2").render(
        run=run,
        summary=summary,
        stages=_stages([stage["name"] for stage in run["decisive"]["recipe"]["stages"]], metrics, summary),
        lost=summary["steps"] - len(metrics),
        curves=_curves(metrics, timing, summary["held_out"]),
        figures=_figures(timing),
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
        width=WIDTH,
        height=HEIGHT,
        recipe=json.dumps(run["decisive"]["recipe"], indent=1, ensure_ascii=False),
    )
    replace_atomic(str(output / "report.html"), page.encode())


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _stages(names: Sequence[str], metrics: Sequence[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a stage: steps, targets, lengths, losses, held-out loss, gate; None where the steps' rows are lost."""
    found, before = [], 0
    by_stage = {name: list(rows) for name, rows in groupby(metrics, key=lambda row: row["stage"])}
    for name in names:
        rows = by_stage.get(name, [])
        losses = [row["loss"] for row in rows if row["loss"] is not None]
        lengths = [length for length, _ in groupby(row["seq_len"] for row in rows)]
        found.append(
            {
                "name": name,
                "steps": len(rows) or None,
                "targets": rows[-1]["tokens"] - before if rows else None,
                "lengths": " → ".join(map(str, lengths)),
                "first": losses[0] if losses else None,
                "last": losses[-1] if losses else None,
                "held_out": summary["held_out"].get(name, {"loss": None, "bits_per_byte": None}),
                "gate": summary["gates"].get(name),
            }
        )
        before = rows[-1]["tokens"] if rows else before
    return found


def _curves(
    metrics: Sequence[dict[str, Any]], timing: Sequence[dict[str, Any]], held_out: Mapping[str, dict[str, Any]]
) -> list[Curve]:
    tokens = [row["tokens"] for row in metrics]
    at = {row["step"]: row["tokens"] for row in metrics}
    begins = [rows[0]["tokens"] for rows in (list(group) for _, group in groupby(metrics, lambda row: row["stage"]))]
    ends = {row["stage"]: row["tokens"] for row in metrics}
    judged = [(ends[name], found["loss"]) for name, found in held_out.items() if name in ends and found["loss"]]

    def over(key: str) -> list[Any]:
        return [row[key] for row in metrics]

    def timed(key: str, factor: float = 1.0) -> list[Any]:
        return [None if row[key] is None else factor * row[key] for row in timing]

    timing = [row for row in timing if row["step"] in at]  # rows of metrics.jsonl may be lost
    when = [at[row["step"]] for row in timing]
    return [
        curve(
            "Loss",
            "nats a target; faint: each step, before it moved the weights",
            tokens,
            over("loss"),
            marks=begins[1:],
            trend=True,
            dots=judged,
        ),
        curve("Learning rate", "of AdamW", tokens, over("lr"), marks=begins[1:]),
        curve("Tokens a second", "over all ranks, padding not counted", when, timed("tokens_per_second"), "{:,.0f}"),
        curve("MFU", "share of the device's peak, 6N + 12LdT a token", when, timed("mfu", 100), "{:.1f} %"),
        curve("Data wait, p99", "milliseconds a step, the slowest rank", when, timed("data_wait_p99", 1000), "{:,.2f}"),
        curve("Queue depth", "steps that lie ready", when, timed("queue_depth"), "{:,.0f}"),
        curve("Control ratio", "cost of feeding: share of the time waited for data", when, timed("control_ratio")),
    ]


def _figures(timing: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Over the whole run."""
    seconds = sum(row["seconds"] for row in timing)
    tokens = sum(row["seconds"] * row["tokens_per_second"] for row in timing)
    known = [row for row in timing if row["mfu"] is not None]
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else None,
        "mfu": sum(row["mfu"] * row["seconds"] for row in known) / sum(row["seconds"] for row in known)
        if known
        else None,
        "data_wait_max": _largest(timing, "data_wait_max"),
        "data_fill": _largest(timing, "data_fill"),
    }


def _largest(timing: Sequence[dict[str, Any]], key: str) -> float | None:
    return max((row[key] for row in timing if row[key] is not None), default=None)
