"""The driver: a recipe over inputs into an output folder, a phase at a time; what a phase committed is a checkpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation import inputs as inputs_module
from curation.engine import Engine, default_workers
from curation.hashing import digest
from curation.inputs import Given
from curation.judged import READ_STAGE
from curation.levels import Levels
from curation.manifest import manifest_of
from curation.output import LOCK, MANIFEST, REPORT, SUCCESS, TALLY, Output, WrongFolderError
from curation.parts import publish
from curation.phases import PhaseRunner, RunFailedError
from curation.progress import Progress, Quiet
from curation.recipe import Recipe, load, resolve
from curation.report import render
from curation.tally import Tally
from curation.warn import warnings
from schemas.manifest import Manifest
from schemas.stage import Stage
from schemas.tasks import COMMON_CRAWL
from storage.commit import replace_atomic
from storage.lock import Lock
from storage.paths import exists, is_local
from storage.registry import Registry
from storage.stores import local


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run goes about it; none of this changes its bytes.

    Attributes:
      work: folder of the phases, may be shared between outputs; default `OUTPUT/work`.
      workers: processes on this machine; default one a core.
      retries: how often a phase runs again what has no marker.
      max_failed_files: input files that may fail without failing the run.
      max_unreadable: share of pages that may be lost before they have a text (stage `read`), in [0, 1].
      fresh: delete this output (and its own work) first; of a shared `work`, results that still hold are taken again.
      clean: delete what the phases left once the run has succeeded, or had succeeded before.
      beam_args: handed to Beam unchanged.
    """

    work: str = ""
    workers: int | None = None
    retries: int = 2
    max_failed_files: int = 0
    max_unreadable: float = 0.5
    fresh: bool = False
    clean: bool = False
    beam_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is read.

    Attributes:
      patterns: files, globs, lists of paths, URLs, or Parquet files of Common Crawl's columnar index.
      prefix: laid before the lines of a list and the files of an index.
      dump: the dump's name where the path does not tell.
      where: a DuckDB condition on the index's rows.
      limit: read the first so many pages only; 0 for all.
    """

    patterns: tuple[str, ...]
    prefix: str = COMMON_CRAWL
    dump: str = ""
    where: str = ""
    limit: int = 0


def run(
    pipeline: str | Recipe,
    inputs: Inputs | Sequence[str],
    output: str | Path,
    *,
    settings: Sequence[str] = (),
    stages: Mapping[str, type[Stage]] | None = None,
    options: Options = Options(),
    progress: Progress | None = None,
) -> Manifest:
    """Runs a pipeline; the same call on the same output goes on where it was.

    Args:
      pipeline: a name in pipelines.yaml, `FILE.yaml#name`, or a resolved recipe.
      inputs: what to read; a sequence of patterns will do.
      output: the folder, local or on an object store.
      settings: `stage.key=value`, as `--set`.
      stages: stages of your own by name, beside the registry's. Workers import them: define them in a module.
      options: how to go about it.
      progress: told what happens.

    Returns:
      The manifest, also written to the folder.

    Raises:
      RecipeError, BeamArgumentError, InputsError, RegistryError, OutputError, Locked: before anything is written.
      RunFailedError: files or phases failed; what was committed stays, and the same call goes on.
    """
    recipe = pipeline if isinstance(pipeline, Recipe) else resolve(*load(pipeline), settings, stages)
    inputs = inputs if isinstance(inputs, Inputs) else Inputs(patterns=tuple(inputs))
    out = Output(str(output))
    _check_folders(out, options)
    work = absolute(options.work or out.at("work"))
    engine = Engine(options.workers or default_workers(), options.beam_args, _log(work))
    runner = PhaseRunner(engine, work, options.retries, progress or Quiet())
    for words in engine.check():
        runner.progress.note(words)
    files = resolve_files(recipe)
    given = inputs_module.resolve(inputs.patterns, prefix=inputs.prefix, dump=inputs.dump, where=inputs.where)
    with Lock(out.at(LOCK)):
        return _locked(recipe, given, inputs.limit, out, files, options, runner)


def _check_folders(out: Output, options: Options) -> None:
    """Folders that can be, and do not meet.

    Raises:
      WrongFolderError: no output folder, a file in its place, or it lies in the work folder.
    """
    if not out.path:
        raise WrongFolderError("the output folder's name is empty; give --output DIR")
    if options.work and f"{absolute(out.path)}/".startswith(f"{absolute(options.work)}/"):
        raise WrongFolderError(f"the output {out.path!r} lies in the work folder {options.work!r}; give folders apart")
    for path in filter(is_local, (out.path, options.work or out.path)):
        place = local(path).absolute()
        there = next(part for part in (place, *place.parents) if part.exists())
        if not there.is_dir():
            raise WrongFolderError(f"{path!r} can't be a folder: {str(there)!r} is a file; give another")


def absolute(path: str) -> str:
    """A folder's full path; a URL as it is."""
    return str(Path(path).absolute()) if is_local(path) else path.rstrip("/")


def resolve_files(recipe: Recipe) -> dict[str, str]:
    """Every model and list there, verified, before anything starts: name -> sha256."""
    registry = Registry()
    found = {}
    for name in recipe.files():
        registry.resolve(name)
        found[name] = registry.sha256(name)
    return found


def _locked(
    recipe: Recipe,
    given: Given,
    limit: int,
    out: Output,
    files: dict[str, str],
    options: Options,
    runner: PhaseRunner,
) -> Manifest:
    identity = {
        "pipeline": recipe.name,
        "recipe": recipe.sha256(files),
        "inputs": digest([[s.name, s.size, s.etag, s.dump] for s in given.sources]),
        "where": given.where,
        "limit": limit,
    }
    if options.fresh:
        out.clear(work=not options.work)
    if out.claim(identity, recipe.parameters(files)):
        if not (lost := out.lost()):
            return _finished(given, out, runner, clean=options.clean)
        runner.progress.note(
            f"this run was finished before, but {lost[0]!r} is gone or of another size"
            + (f", and so are {len(lost) - 1:,} more files" if lost[1:] else "")
            + "; what is lost is made again"
        )
        out.reopen(lost)
    for words in warnings(recipe, given.sources, given.indexes):
        runner.progress.note(words)
    levels = Levels(recipe, files, runner)
    levels.run(given, limit)
    _check_failed(levels.failed, options.max_failed_files, runner.progress)
    published = publish(recipe, levels.states, levels.dedups, runner, out)
    tally = Tally.merged(
        map(Tally.from_json, [*levels.tallies(), *published.tallies]),
        seed=recipe.seed,
        examples=recipe.sample.examples_per_reason,
    )
    manifest = manifest_of(recipe, files, given, levels, published, tally)
    _check_readable(manifest, options.max_unreadable)
    _tell_empty(manifest, given, runner.progress)
    replace_atomic(out.at(TALLY), json.dumps(tally.to_json(), ensure_ascii=False, sort_keys=True).encode())
    replace_atomic(out.at(MANIFEST), manifest.model_dump_json(indent=1).encode())
    replace_atomic(out.at(REPORT), render(manifest, tally).encode())
    replace_atomic(out.at(SUCCESS), b"")
    if options.clean:
        runner.clean()
        out.clear_work()
    return manifest


def _finished(given: Given, out: Output, runner: PhaseRunner, *, clean: bool) -> Manifest:
    """A run that was done before: its manifest, and what its phases left deleted where that is asked."""
    manifest = out.manifest()
    _tell_empty(manifest, given, runner.progress)
    if clean:
        own = out.at("work")
        words = f"deleted what its phases left in {own!r}" if exists(own) else f"{own!r} is gone already"
        out.clear_work()
        runner.progress.note(f"this run was finished before; {words}")
        if runner.work != absolute(own) and exists(runner.work):
            runner.progress.note(
                f"{runner.work!r}, which other runs may share, is left as it is: only the run that does the work knows "
                f"its files there; delete it yourself once no run needs it"
            )
    return manifest


def _check_failed(failed: Mapping[str, str], most: int, progress: Progress) -> None:
    """Tells once why each file could not be read, the first in the error where there are more than may be."""
    forgiven = len(failed) <= most
    for name, why in [*failed.items()][0 if forgiven else 1 :]:
        progress.note(f"{name}: {why}")
    if not forgiven:
        first = next(iter(failed.values()))
        files = "1 input file" if len(failed) == 1 else f"{len(failed)} input files"
        raise RunFailedError(f"{files} could not be read, {most} allowed (--max-failed-files); the first: {first}")


def _tell_empty(manifest: Manifest, given: Given, progress: Progress) -> None:
    """No page is no failure, but seldom what was meant."""
    if not manifest.counts.pages:
        what = f"the condition {given.where!r} (--where) selects no page" if given.where else "the input holds no page"
        progress.note(f"{what}: 0 pages were read, and the shards are empty; look at --input")


def _check_readable(manifest: Manifest, most: float) -> None:
    """A run whose input is mostly no pages is none: a failed download, the wrong format, a recipe without `extract`."""
    pages, lost = manifest.counts.pages, sum(manifest.counts.dropped_by.get(READ_STAGE, {}).values())
    if lost > most * pages:
        reasons = ", ".join(f"{n} {reason}" for reason, n in manifest.counts.dropped_by[READ_STAGE].items())
        raise RunFailedError(
            f"{lost} of {pages} pages could not be read ({reasons}), where {most:.0%} are allowed (--max-unreadable); "
            f"the ledger says which"
        )


def _log(work: str) -> Path | None:
    """Where local workers' own output goes; none for a work folder elsewhere."""
    if not is_local(work):
        return None
    return Path(work) / "logs" / "workers.log"
