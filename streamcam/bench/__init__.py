"""What ``streamcam bench`` measures."""
