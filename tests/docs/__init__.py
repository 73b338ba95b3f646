"""The documentation: its code, its deployment files and what is generated for it."""
