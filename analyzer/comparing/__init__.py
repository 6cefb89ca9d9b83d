"""Several runs compared: `analyze compare`."""
