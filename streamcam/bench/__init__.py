"""Throughput benchmarks: ``streamcam bench``."""
