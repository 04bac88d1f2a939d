"""The training report: one HTML file about a finished run."""

from trainer.report.page import write

__all__ = ["write"]
