"""Built-in models: the embedded EfficientNet-Lite0 and keras.applications."""
