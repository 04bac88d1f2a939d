"""`python -m service`: the same as `gristmill`."""

from service.cli import main

main()
