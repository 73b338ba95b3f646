"""Freeze a traced graph and rewrite it for speed."""
