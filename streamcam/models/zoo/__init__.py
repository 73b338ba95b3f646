"""Models by name: the built-in EfficientNet-Lite0, and keras.applications."""
