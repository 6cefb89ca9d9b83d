"""What a search makes of measurements: which question is worth most next. Pure."""
