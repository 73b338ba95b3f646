"""Live cameras in, annotated frames out: the pipeline of ``streamcam live``."""
