"""Rows as pages and files: what others need of it."""

from analyzer.report.evidence import Evidence, Omissions, gather
from analyzer.report.files import check, read_skipped, write, write_skipped, write_tables
from analyzer.report.formats import USUAL, Files, Layout, formats_of

__all__ = [
    "USUAL",
    "Evidence",
    "Files",
    "Layout",
    "Omissions",
    "check",
    "formats_of",
    "gather",
    "read_skipped",
    "write",
    "write_skipped",
    "write_tables",
]
