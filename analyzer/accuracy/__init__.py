"""Whether a variant still answers as the default does: checked before its speed is measured."""
