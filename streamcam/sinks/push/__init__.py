"""Pushing frames to a live output from a worker process: ``python -m streamcam.sinks.push``.

FFmpeg opens, starts and ends an output while it holds Python's GIL, and without a timeout. Each push to a peer that may
stall therefore runs in its own process, which can be killed. The process reads frames from its standard input.
"""
