"""The subcommands of `gristmill`, one a module: `add` declares its arguments, `main` runs it.

All of them are imported for each command line, so what is slow to import (Beam, torch, pyarrow, pydantic) is imported
by the function that needs it.
"""
