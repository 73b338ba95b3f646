"""Studies of a model: its layers and filters."""
