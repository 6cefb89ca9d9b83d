"""Conversions from ONNX, one module each; see ``engine.conversion``."""
