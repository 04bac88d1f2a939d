"""The `gristmill` command: parses arguments, runs a subcommand, turns known errors into one line and an exit code."""

import argparse
import atexit
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pkgutil import resolve_name

from service.commands import (
    ablate,
    chat,
    classifier,
    demo,
    evaluate,
    explain,
    export,
    models,
    plan,
    report,
    run,
    sample,
    tokenize,
    tokenizer,
    train,
)
from service.exits import Exit
from service.notes import tell_storage
from service.terminal import sentence, silence

COMMANDS = {
    "run": run,
    "demo": demo,
    "plan": plan,
    "explain": explain,
    "report": report,
    "sample": sample,
    "models": models,
    "classifier": classifier,
    "tokenizer": tokenizer,
    "tokenize": tokenize,
    "train": train,
    "eval": evaluate,
    "export": export,
    "chat": chat,
    "ablate": ablate,
}

EPILOG = """\
first steps:
  gristmill demo                            the whole way on a built-in crawl, with a report to look at
  gristmill run fineweb --input 'crawl/*.warc.gz' --output out
                                            give the same command again to go on after a stop
  gristmill explain out https://example.org/page
                                            what became of a page, every rule's value and margin

exit codes: 0 done, 1 failed (the same command goes on), 2 wrong arguments, recipe or inputs, or no such page or run,
3 a model or list is missing or its checksum wrong, 4 the output folder belongs to another run, 5 another run works on
it, 130 interrupted
"""

EXITS: dict[str, Exit] = {
    "curation.phases:RunFailedError": Exit.FAILED,
    "curation.ledger:LedgerError": Exit.FAILED,
    "storage.pipelines:PipelinesError": Exit.USAGE,
    "curation.registry:StageError": Exit.USAGE,
    "curation.beam_arguments:BeamArgumentError": Exit.USAGE,
    "curation.inputs:InputsError": Exit.USAGE,
    "storage.errors:MissingError": Exit.USAGE,
    "storage.errors:PathError": Exit.USAGE,
    "classifiers.texts:TextsError": Exit.USAGE,
    "classifiers.train:OptionsError": Exit.USAGE,
    "curation.explain:NoPageError": Exit.USAGE,
    "curation.output:WrongFolderError": Exit.USAGE,
    "curation.explain:MeasureError": Exit.FAILED,
    "classifiers.fit:FitError": Exit.FAILED,
    "classifiers.fasttext:ModelError": Exit.MISSING,
    "storage.errors:RegistryError": Exit.MISSING,
    "curation.output:OutputError": Exit.FOREIGN,
    "storage.errors:Locked": Exit.LOCKED,
    "trainer.errors:ForeignError": Exit.FOREIGN,
    "trainer.errors:IntegrityError": Exit.MISSING,
    "trainer.errors:TrainerError": Exit.USAGE,
    "trainer.errors:TrainingFailedError": Exit.FAILED,
    "storage.errors:StorageError": Exit.FAILED,
    "builtins:OSError": Exit.FAILED,
}
"""Errors that are told in words; anything else is a defect of ours and shows its traceback. A class stands before those
it inherits from. They are named, not imported: most of their modules bring Beam along."""


def parser() -> argparse.ArgumentParser:
    """The whole command line, without what stands after `--`."""
    top = argparse.ArgumentParser(
        prog="gristmill",
        description="Web pages in, a deduplicated, quality-classified training set and a report out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"gristmill {version('gristmill')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        module.add(commands, name)
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; ends the process."""
    _write_what_can_be()
    tell_storage()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also where a script's shell had SIGINT ignored
    try:
        code = obey(sys.argv[1:] if argv is None else argv)
    finally:  # also help and usage: whoever reads them may have left
        _flush()
    atexit._run_exitfuncs()  # job servers that Beam started end here
    os._exit(code)  # threads of an engine whose worker died would keep the process


def obey(argv: Sequence[str]) -> int:
    """Runs a command line; its exit code.

    Raises:
        SystemExit: help was asked for, or the command line is wrong (2); both are printed.
    """
    given = list(argv)
    at = given.index("--") if "--" in given else len(given)
    args = parser().parse_args(given[:at])
    args.beam_args = tuple(given[at + 1 :])
    try:
        return COMMANDS[args.command].main(args)
    except KeyboardInterrupt:
        print("\ngristmill: interrupted; what is done stays done, the same command goes on", file=sys.stderr)  # noqa: T201
        return Exit.INTERRUPTED
    except tuple(_exits()) as error:
        _complain(error)
        return next(exit_code for kind, exit_code in _exits().items() if isinstance(error, kind))


def _exits() -> dict[type[Exception], Exit]:
    """`EXITS` by class. A class whose module nobody has imported can't have been raised, and is left out."""
    return {resolve_name(name): code for name, code in EXITS.items() if name.partition(":")[0] in sys.modules}


def _write_what_can_be() -> None:
    """A terminal or pipe that is not of UTF-8 gets `?` for what it can't have, a closed one nothing: no traceback."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115  (`>&-`: lives as long as the process)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(error: Exception) -> None:
    try:
        print(f"gristmill: {sentence(error)}", file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        silence(sys.stderr.fileno())


def _flush() -> None:
    """Writes the rest. A reader who left early (`| head -1`) is no failure of the work."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream.fileno())
