"""The load client: what it sends, when, and until when."""
