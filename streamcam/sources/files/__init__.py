"""Read frames from video and image files."""
