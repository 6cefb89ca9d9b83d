"""What a check came to, for people, pull requests and dashboards: one module for each form. Pure.

Each has a function that takes a ``told.Told`` and returns the file's text.
"""
