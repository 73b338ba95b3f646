"""Fuzzing of inputs; ``data`` has small generated files that once broke streamcam."""
