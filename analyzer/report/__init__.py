"""Rows as pages and files."""
