"""The visual log of an input pipeline: samples and statistics of each stage, faults in words, one page."""
