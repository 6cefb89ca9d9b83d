"""What is kept: rows, and the journal they are written to."""
