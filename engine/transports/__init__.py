"""Bytes in, bytes out: sockets for the V2 protocol."""
