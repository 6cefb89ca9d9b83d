"""Looking at a server while it is under load."""
