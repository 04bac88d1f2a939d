"""The face: the gristmill command."""

import logging

logging.getLogger().setLevel(logging.ERROR)  # Beam warns of missing Google clients as soon as it is imported
