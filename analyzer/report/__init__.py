"""Rows as pages and files: what others need of it."""

from analyzer.report.evidence import Omissions
from analyzer.report.files import read_skipped, write, write_skipped

__all__ = ["Omissions", "read_skipped", "write", "write_skipped"]
