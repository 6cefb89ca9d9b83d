"""Rows as pages and files: ``write`` is all that others need."""

from analyzer.report.files import write

__all__ = ["write"]
