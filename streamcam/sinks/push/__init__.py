"""What runs in an outlet's process: ``python -m streamcam.sinks.push`` takes pictures from its standard input.

FFmpeg opens, heads and ends an output while it holds Python's lock, and without a limit of time. Whoever pushes
to a peer that may fall silent therefore does it in a process of its own, which can be killed.
"""
