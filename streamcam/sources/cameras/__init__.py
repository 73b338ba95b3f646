"""Read frames from cameras, and reconnect when they are lost."""
