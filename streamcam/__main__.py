"""``python -m streamcam``."""

from .cli import main

main()
