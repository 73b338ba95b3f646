"""Studies of a model, beside the pipeline.

Importing this package loads no TensorFlow.
"""
