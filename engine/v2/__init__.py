"""The V2 protocol without a socket: bytes to values and back."""
