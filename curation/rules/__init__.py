"""Rules that drop documents, one a module."""
