"""Shared code for reading, writing and drawing.

It covers color, planes, RGB conversion, image bytes, letterboxing and MP4 boxes.
"""
