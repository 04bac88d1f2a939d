"""Exit codes of the command, for scripts."""

from enum import IntEnum


class Exit(IntEnum):
    """What a script may branch on."""

    OK = 0
    FAILED = 1
    """The run failed; what was committed stays, and the same command goes on."""
    USAGE = 2
    """Arguments, recipe or inputs are wrong, a page asked for is none of the run's, or a folder holds no finished run;
    nothing was started, and no folder made."""
    MISSING = 3
    """A model or list can't be had, or a checksum is wrong."""
    FOREIGN = 4
    """The output folder belongs to another run."""
    LOCKED = 5
    """Another run works on the output folder."""
    INTERRUPTED = 130
    """Ctrl-C; the same command goes on."""
