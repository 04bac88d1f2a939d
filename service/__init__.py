"""The face: the gristmill command."""
