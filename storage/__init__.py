"""Paths, atomic commit, checksums, and the registry of models and lists."""
