"""What a run says before it starts."""

import pytest

from curation.recipe import resolve
from curation.warn import warnings
from schemas.recipe import PipelineSpec
from schemas.tasks import Compression, Format, Source


def source(name: str, form: Format) -> Source:
    return Source(f"/in/{name}", name, 1, "", form, Compression.NONE, "")


WARC, ARC = source("a.warc.gz", Format.WARC), source("b.arc.gz", Format.ARC)
WET, BARE_WET = source("c.warc.wet.gz", Format.WARC), source("d.WET", Format.WARC)
JSONL, PARQUET = source("e.jsonl", Format.JSONL), source("f.parquet", Format.PARQUET)

CASES: dict[str, tuple[list[str], list[Source], list[Source], str]] = {
    "warc": (["pii"], [WARC], [], "1 of 1 input files lead to WARC or ARC records (the first: 'a.warc.gz')"),
    "arc_among_texts": (["pii"], [JSONL, ARC], [], "1 of 2 input files lead to WARC or ARC records (the first: 'b.arc"),
    "no_suffix": (["pii"], [source("x", Format.WARC)], [], "1 of 1 input files"),
    "index": (["pii"], [PARQUET], [PARQUET], "1 of 1 input files lead to WARC or ARC records (the first: 'f.parquet')"),
    "texts": (["pii"], [WET, BARE_WET, JSONL, PARQUET], [], ""),
    "extract": (["extract", "pii"], [WARC, ARC], [], ""),
    "nothing": (["pii"], [], [], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_archives_without_extract(case: str) -> None:
    stages, sources, indexes, words = CASES[case]
    told = warnings(resolve("p", PipelineSpec.model_validate({"stages": stages})), sources, indexes)
    assert len(told) == bool(words)
    assert all(sentence.startswith(f"p has no stage extract, and {words}") for sentence in told)


def test_extract_that_is_off() -> None:
    spec = PipelineSpec.model_validate({"stages": [{"extract": {"enabled": False}}, "pii"]})
    assert len(warnings(resolve("p", spec), [WARC])) == 1
