"""What was asked of the analyzer: command line and YAML, as frozen values."""
