"""``config.pbtxt``: the model configuration as frozen values, read, written and completed."""
