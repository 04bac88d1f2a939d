"""The subcommands of `gristmill`, one a module: `add` declares its arguments, `main` runs it."""
