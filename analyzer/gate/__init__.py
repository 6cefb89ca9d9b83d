"""The gate of ``analyze check``: is a candidate slower than its baseline, and how sure is that?"""
