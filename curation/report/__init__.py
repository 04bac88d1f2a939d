"""The report: one self-contained HTML file about a run, made from its manifest and its merged tally alone."""

from curation.report.page import render

__all__ = ["render"]
