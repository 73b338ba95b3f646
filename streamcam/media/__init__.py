"""Code that reading, writing and drawing share: color, planes, RGB conversion, image bytes, letterboxing, MP4 boxes."""
