"""What can be seen before a run starts to go against its sense, though nothing is wrong."""

from collections.abc import Sequence

from curation.recipe import Recipe
from schemas.stage import Extract
from schemas.tasks import Format, Source

_WET = (".wet", ".wet.gz", ".wet.zst", ".wet.zstd")


def warnings(recipe: Recipe, sources: Sequence[Source], indexes: Sequence[Source] = ()) -> list[str]:
    """One sentence for each thing that the user should know, none where all is well.

    Only names and formats are looked at: no file is opened.

    Args:
      recipe: what would run.
      sources: all input files.
      indexes: those of `sources` that say where pages of WARC files are.
    """
    if any(isinstance(step.stage, Extract) for step in recipe.steps):
        return []
    archives = [source for source in sources if source in indexes or _is_archive(source)]
    if not archives:
        return []
    return [
        f"{recipe.name} has no stage extract, and {len(archives):,} of {len(sources):,} input files lead to WARC or "
        f"ARC records (the first: {archives[0].name!r}): their HTML is dropped as read/needs_extract; give texts "
        f"(WET, JSONL, Parquet) or a pipeline with extract"
    ]


def _is_archive(source: Source) -> bool:
    """WARC or ARC by format; WET, which holds texts, is told by its name."""
    if source.format not in (Format.WARC, Format.ARC):
        return False
    return not source.name.lower().partition("?")[0].endswith(_WET)
