"""Memory that clients share with the server, so that tensors need not travel in messages."""
