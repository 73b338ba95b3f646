"""Freeze a traced graph and optimise it."""
