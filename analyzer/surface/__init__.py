"""Recorded surfaces: a whole grid measured again and again, and searches replayed over it."""
