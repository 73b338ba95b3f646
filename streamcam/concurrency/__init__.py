"""Threads of a pipeline and the queues between them."""
