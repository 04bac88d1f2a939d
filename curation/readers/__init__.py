"""Input formats to pages, one format a module."""
