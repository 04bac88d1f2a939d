"""Edits that change text and drop nothing, one a module."""
