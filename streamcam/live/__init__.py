"""Cameras in, overlays out, never behind: the road of `streamcam live`, and its page."""
