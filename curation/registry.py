"""Every stage by its name: the key in pipelines.yaml, in the ledger, in Beam's labels and counters."""

from importlib.metadata import EntryPoint, entry_points

from classifiers.language import Language
from classifiers.quality import Quality
from curation.edits.ftfy import Ftfy
from curation.edits.pii import Pii
from curation.edits.symbol_lines import SymbolLines
from curation.edits.token_count import TokenCount
from curation.extract import Extract
from curation.rules.c4 import C4
from curation.rules.fineweb import FineWeb
from curation.rules.gopher_quality import GopherQuality
from curation.rules.gopher_repetition import GopherRepetition
from curation.rules.url_filter import UrlFilter
from dedup.exact import DigestDedup, UrlDedup
from dedup.minhash import MinHash
from schemas.stage import Stage

STAGES: dict[str, type[Stage]] = {
    "url_filter": UrlFilter,
    "url_dedup": UrlDedup,
    "digest_dedup": DigestDedup,
    "extract": Extract,
    "language": Language,
    "gopher_repetition": GopherRepetition,
    "gopher_quality": GopherQuality,
    "c4": C4,
    "fineweb": FineWeb,
    "minhash": MinHash,
    "ftfy": Ftfy,
    "pii": Pii,
    "symbol_lines": SymbolLines,
    "quality": Quality,
    "token_count": TokenCount,
}

ENTRY_POINT_GROUP = "gristmill.stages"


class StageError(ValueError):
    """A stage that can't be had: unknown, clashing, or not a `schemas.stage.Stage`."""


def stages() -> dict[str, type[Stage]]:
    """Our own stages and those that installed distributions add by entry points in `gristmill.stages`.

    Raises:
      StageError: an entry point takes a name that exists, can't be imported, or is not a subclass of `Stage`.
    """
    found = dict(STAGES)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name, p.value)):
        if point.name in found:
            raise StageError(
                f"the entry point {point.value!r} of {_distribution(point)} names its stage {point.name!r}, "
                f"which exists already; give it another name"
            )
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise StageError(
                f"the entry point {point.name!r} = {point.value!r} of {_distribution(point)} can't be loaded: {error}; "
                f"mend or uninstall that distribution"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Stage)):
            raise StageError(
                f"the entry point {point.name!r} = {point.value!r} of {_distribution(point)} is {loaded!r}, "
                f"not a subclass of schemas.stage.Stage"
            )
        found[point.name] = loaded
    return found


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
